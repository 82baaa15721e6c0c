"""Small and short: shows in a minute that everything works.

  python -m beadseg.main --config=configs/smoke.py

Time: 44 s on two cores. Expect: validation Jaccard 0.91, on small and easy images.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    c = base.get_config()
    c.data.generated.modalities = ("fluorescence",)
    c.data.generated.count = 24
    c.data.generated.size = 128
    c.data.crop = 64
    c.data.batch_size = 4
    c.model.width = 8
    c.model.depth = 3
    c.optim.learning_rate = 3e-3
    c.train.epochs = 4
    c.train.steps_per_epoch = 20
    c.log.images_every = 1
    return c
