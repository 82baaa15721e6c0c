"""Which loss? On beads of which half are not labelled; two seeds each.

  python -m beadseg.main --config=configs/sweep_loss.py

Five losses that take the masks as complete, and the one made for gaps: twelve members
in six groups, then a page with the answer, report.html.

Time: three and a half minutes on two slow cores, from a fresh clone.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from beadseg.sweep.points import chain, over, product
from configs import base


def get_config() -> ConfigDict:
    c = base.get_config()
    c.data.generated.modalities = ("fluorescence",)
    c.data.generated.count = 40
    c.data.generated.size = 128
    c.data.generated.damage = "drop_random"
    c.data.generated.amount = 0.5
    c.data.crop = 64
    c.partial.method = "none"
    c.model.width = 8
    c.model.depth = 3
    c.optim.learning_rate = 3e-3
    c.train.epochs = 8
    c.train.steps_per_epoch = 25
    return c


def sweep(add: Callable) -> None:
    losses = over("loss.name", "bce", "focal", "dice", "tversky", "combined")
    in_spite_of_gaps = over("partial.method", "auto")
    for point in product(chain(losses, in_spite_of_gaps), over("seed", 0, 1)):
        if point.get("loss.name") == "tversky":
            point |= {"loss.alpha": 0.3, "loss.beta": 0.7}
        add(point)
