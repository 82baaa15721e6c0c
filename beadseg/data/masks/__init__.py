"""Masks: what their numbers mean, whether they fit their image, and beads apart."""
