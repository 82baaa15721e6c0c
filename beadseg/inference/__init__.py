"""From a trained run and an image to beads, their measurements and their errors."""
