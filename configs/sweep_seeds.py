"""How much is chance? dice.py with five seeds, one compiled program.

  python -m beadseg.main --config=configs/sweep_seeds.py

The spread of these members is what a difference between settings has to exceed.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from beadseg.sweep.points import over
from configs import dice


def get_config() -> ConfigDict:
    return dice.get_config()


def sweep(add: Callable) -> None:
    for point in over("seed", *range(5)):
        add(point)
