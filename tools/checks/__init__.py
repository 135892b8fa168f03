"""The house rules that no ready-made linter knows, each with a test that shows it failing."""
