"""Half-labelled beads: audit, train with, complete and review them.

A perfect model scores a Jaccard of c on masks that label a share c of the beads, so
training audits the masks, takes a loss for partial labels where they are incomplete,
and corrects validation and threshold (`partial` in configs/base.py).

beadseg verify DIR                         how complete each mask is
beadseg complete DIR -o NEW --accept 0.95  proposals beside untouched labels
beadseg review NEW                         accept, reject and draw on a local page
"""
