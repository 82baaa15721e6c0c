"""Counts of a dilution series: intervals, straight line, blank, concentration.

The line is that of log count over log concentration, weighted by how surely each count
is known; a slope of 1 is a count that follows the dilution. Its linear range ends where
counts leave it by more than their intervals: above, mostly, because beads clump.
Intervals are Poisson's and, where frames or replicates vary more, of what they vary by.

The limit of detection stands 3, that of quantification 10 standard deviations of the
blank above its level (IUPAC 1978; Currie 1995). Beads per mm2 need the pixel size or
the area of an image, per ml the depth or the volume.
"""
