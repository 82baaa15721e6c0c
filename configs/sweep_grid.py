"""The grid of the domain-shift analysis: 108 members in 18 compiled programs.

  python -m beadseg.main --config=configs/sweep_grid.py --dry_run
  python launch/submit.py --scheduler=slurm --config=configs/sweep_grid.py --nodes=18

For GPUs; on two CPU cores it would take days. Not yet measured. In a third of the time:
--config.sweep.search=halving.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from beadseg.sweep.points import over, product
from configs import dice


def get_config() -> ConfigDict:
    c = dice.get_config("full")
    c.data.workers = 8
    return c


def sweep(add: Callable) -> None:
    for point in product(
        over("model.name", "unet", "attention_unet", "attention_resunet"),
        over("data.batch_size", 16, 32),
        over("loss.name", "bce", "dice", "combined"),
        over("optim.learning_rate", 5e-5, 1e-4, 5e-4),
        over("model.dropout", 0.2, 0.3),
    ):
        add(point)
