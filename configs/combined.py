"""combined loss.

python -m beadseg.main --config=configs/combined.py
"""

from configs import dice


def get_config():
    c = dice.get_config()
    c.loss.name = "combined"
    return c
