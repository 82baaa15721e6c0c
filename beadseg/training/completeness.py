"""Completeness: the share of the true beads that a mask labels.

The one estimate of it and the one table of limits, for training, `verify`, `analyze`,
`baseline`, `diagnose` and `evaluate`. Two limits may be set by users instead: from
`config.partial.enough` on a mask passes and is trained on as complete, and training
takes masks for partial below an estimate of `config.partial.suspect`.
"""

COMPLETE = 0.98  # where given: from here on nothing is corrected
PARTIAL = 0.8  # where estimated without a model, in the median image: below, partial
TRUSTED = 0.6  # of the labelled beads, those that an estimate must see to be believed
SHORT = 0.85  # upper end of the interval from a few masks: below, they are incomplete


def are_partial(labelled: float, seen: float) -> bool:
    """Whether masks lack beads, as far as an estimate without a model is believed.

    Args:
      labelled: share of the beads seen that have a label; nan: unknown.
      seen: share of the labelled beads that are seen; nan: unknown.
    """
    return seen >= TRUSTED and labelled < PARTIAL


def estimate_completeness(labelled: float, missing: float) -> float | None:
    """Share of the beads seen that is labelled (Lincoln and Petersen).

    The labelled beads that are not seen stand in the same proportion to those that are
    neither seen nor labelled. Each bead may count by its score: what is wrongly taken
    for a bead is so among labelled ones too.

    Args:
      labelled: beads seen that the mask labels.
      missing: beads seen that it does not label.

    Returns:
      0..1; None where no bead is seen.
    """
    seen = labelled + missing
    return float(labelled / seen) if seen else None
