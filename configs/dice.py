"""Dice loss on generated beads: the first run, sized for two CPU cores.

python -m beadseg.main --config=configs/dice.py
"""

from configs import base


def get_config():
    c = base.get_config()
    return c
