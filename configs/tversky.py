"""Tversky loss that minds misses more (alpha 0.3, beta 0.7); all else as in dice.py.

  python -m beadseg.main --config=configs/tversky.py

Time: 3.3 minutes on two busy cores. Expect: validation
Jaccard 0.92, F1 of the beads 0.97 (seed 0, measured).
"""

from ml_collections import ConfigDict

from configs import dice


def get_config() -> ConfigDict:
    c = dice.get_config()
    c.loss.name = "tversky"
    c.loss.alpha = 0.3
    c.loss.beta = 0.7
    return c
