"""Half-labelled beads: audit them, train in spite of them, complete and review them."""
