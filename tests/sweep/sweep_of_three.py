"""A sweep of three tiny members, of which the last goes non-finite; for the tests."""

from beadseg.sweep.points import over, zip_
from configs import base


def get_config():
    c = base.get_config()
    c.data.generated.count = 4
    c.data.generated.size = 64
    c.data.generated.modalities = ("fluorescence",)
    c.data.crop = 32
    c.data.batch_size = 4
    c.model.width = 4
    c.model.depth = 1
    c.model.norm = "none"
    c.train.epochs = 4
    c.train.steps_per_epoch = 10
    c.log.every = 2
    c.log.wandb = "off"
    return c


def sweep(add):
    # Each step multiplies the weights of the last by some -1e6.
    rates = over("optim.learning_rate", 1e-3, 3e-3, 1e3)
    for point in zip_(rates, over("optim.weight_decay", 1e-4, 1e-4, 1e3)):
        add(point)
