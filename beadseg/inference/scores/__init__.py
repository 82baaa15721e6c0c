"""A prediction against the truth."""
