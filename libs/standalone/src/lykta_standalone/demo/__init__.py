"""The story of the platform, told by doing it: every step is a real check, and a broken promise ends it."""
