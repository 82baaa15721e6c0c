"""Half-labelled beads: audit, train with, complete and review them."""
