"""A run as a model for other tools."""
