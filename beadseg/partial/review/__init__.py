"""The page on which a person accepts, rejects, draws and mends beads."""
