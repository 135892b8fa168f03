"""What access-control decides, as pure values: directory, mandates, cases, grants and the decision itself."""
