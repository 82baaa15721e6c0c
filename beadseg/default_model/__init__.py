"""The model that comes with beadseg, and the commands that make it anew."""
