"""Which learning rate? Eight rates from 1e-4 to 1e-2, one compiled program.

  python -m beadseg.main --config=configs/sweep_lr.py

Other ranges: --config.sweep.search=optuna --config.sweep.trials=20 searches `space`.
"""

from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict

from beadseg.sweep.points import Space, log_uniform, over
from configs import dice


def get_config() -> ConfigDict:
    c = dice.get_config()
    c.train.epochs = 10
    return c


def sweep(add: Callable) -> None:
    rates = [float(f"{rate:.2g}") for rate in np.geomspace(1e-4, 1e-2, 8)]
    for point in over("optim.learning_rate", *rates):
        add(point)


def space() -> Space:
    return {
        "optim.learning_rate": log_uniform(1e-5, 3e-2),
        "optim.weight_decay": log_uniform(1e-6, 1e-2),
    }
