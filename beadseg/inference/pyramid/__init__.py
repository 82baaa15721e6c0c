"""Beads of any size: levels, candidates, scores, and which of them are beads."""
