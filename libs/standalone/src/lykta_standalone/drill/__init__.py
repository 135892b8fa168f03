"""The restore drill: back up, lose everything, restore, and prove what came back and what stays gone."""
