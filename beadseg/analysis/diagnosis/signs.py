"""A sign of a cause, how sure it is, and what all judges of signs share."""

from typing import NamedTuple

import numpy as np

from beadseg.analysis.diagnosis.evidence import Evidence
from beadseg.training.tracking.summary import SKILL

TRAIN = "python -m beadseg.main --config=CONFIG"


class Sign(NamedTuple):
    """A cause that shows, before it is named."""

    confidence: float  # 0.5..1
    because: str  # with its numbers
    command: str


def beyond(value: float, limit: float, far: float) -> float:
    """Confidence: 0.5 at the limit, 0.95 at `far`, never above 0.99."""
    share = (value - limit) / (far - limit)
    return float(np.clip(0.5 + 0.45 * share, 0.5, 0.95 + 0.04 * np.tanh(share - 1)))


def in_vain(e: Evidence) -> bool:
    """Whether training loss fell and validation learnt nothing of it."""
    if len(e.training) < 4:
        return False
    losses = [row["loss"] for row in e.training]
    return e.skill < SKILL and min(losses[-2:]) < 0.9 * losses[0]
