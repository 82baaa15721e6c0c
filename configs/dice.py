"""Dice loss on generated beads: the first run, sized for two CPU cores.

python -m beadseg.main --config=configs/dice.py
"""

from configs import base


def get_config():
    c = base.get_config()
    # One kind of microscope: ten minutes are too short for all six.
    c.data.generated.modalities = ("fluorescence",)
    c.data.generated.count = 120
    c.data.crop = 96
    c.train.steps_per_epoch = 40
    c.train.epochs = 30
    c.optim.learning_rate = 2e-3
    c.optim.warmup_steps = 20
    c.optim.cosine = True
    return c
