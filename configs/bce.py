"""Binary cross-entropy; all else as in dice.py.

  python -m beadseg.main --config=configs/bce.py

Time: about as dice.py. Time and number are not yet measured.
"""

from ml_collections import ConfigDict

from configs import dice


def get_config() -> ConfigDict:
    c = dice.get_config()
    c.loss.name = "bce"
    return c
