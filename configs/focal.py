"""focal loss.

python -m beadseg.main --config=configs/focal.py
"""

from configs import dice


def get_config():
    c = dice.get_config()
    c.loss.name = "focal"
    return c
