"""Masks: what their numbers mean, whether they fit their image, and beads apart.

A mask holds a number per bead (0: background, -1: unknown), or it is black and white;
touching beads of such a mask are parted at their necks. Inverted masks, cores with
rims, numbers for kinds of beads, ids cut off by 8 bits, JPEG edges and counted overlaps
are read where their meaning is certain, with a line that says so, else refused.

Before training, in `beadseg analyze` and in `beadseg verify`, each mask is held against
its image: one of another image, turned, mirrored or moved is named with the evidence
and left out (`data.check_masks`). Where masks are equal discs that are no outlines,
training learns a disc of the beads' own size on each (`data.masks`).
"""
