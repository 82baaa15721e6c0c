"""What a colour means in every picture: RGB from 0 to 1."""

TRUE_POSITIVE = (0.18, 0.72, 0.45)
FALSE_NEGATIVE = (0.95, 0.65, 0.10)  # a true bead without a prediction
FALSE_POSITIVE = (0.90, 0.20, 0.35)  # a prediction without a true bead
MERGED = (0.25, 0.60, 1.00)  # several true beads under one prediction
SPLIT = (0.75, 0.50, 1.00)  # one true bead in several predictions
UNKNOWN = (0.45, 0.45, 0.60)
LABELLED = (0.12, 0.90, 0.75)  # of a mask, where nothing is compared with it
SEEN = (1.00, 0.75, 0.10)  # by the estimate, without the mask
