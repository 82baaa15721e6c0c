"""tversky loss.

python -m beadseg.main --config=configs/tversky.py
"""

from configs import dice


def get_config():
    c = dice.get_config()
    c.loss.name = "tversky"
    return c
