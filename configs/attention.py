"""attention_unet on generated beads, all else as in dice.py.

python -m beadseg.main --config=configs/attention.py
"""

from configs import dice


def get_config():
    c = dice.get_config()
    c.model.name = "attention_unet"
    return c
