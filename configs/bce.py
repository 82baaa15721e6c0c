"""bce loss.

python -m beadseg.main --config=configs/bce.py
"""

from configs import dice


def get_config():
    c = dice.get_config()
    c.loss.name = "bce"
    return c
