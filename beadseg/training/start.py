"""Training that starts from the weights of another run: fine-tuning."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from beadseg.errors import BeadsegError
from beadseg.training.state import TrainState
from beadseg.training.weights import WEIGHTS, read_weights

DEFAULT = Path(__file__).parents[1] / "default_model"
FRESH = ("head_", "deep_")  # parts that may be new: what the network is asked for


def start_from(state: TrainState, source: str) -> TrainState:
    """The fresh `state` with the weights and running statistics of a run in it.

    Heads that the run lacks keep their fresh weights, those that only it has are left
    out.

    Args:
      state: as `create_state` made it.
      source: a run folder, or "default" for the model that comes with beadseg.

    Raises:
      BeadsegError: there are no weights, or they are of another network.
    """
    folder = DEFAULT if source == "default" else Path(source)
    if not folder.is_dir():
        raise BeadsegError(
            f'config.init_from = "{source}": no such folder: give that of a run, or '
            '"default"'
        )
    if not (folder / WEIGHTS).exists():
        raise BeadsegError(
            f'config.init_from = "{source}": it holds no {WEIGHTS}: give the folder of '
            "a run that has come to its end"
        )
    weights = read_weights(folder / WEIGHTS)
    return state._replace(
        params=_fill(state.params, weights.params, source),
        statistics=_fill(state.statistics, weights.statistics, source),
    )


def _fill(fresh: Any, trained: dict[str, Any], source: str) -> Any:
    def leaf(path: tuple, value: jax.Array) -> jax.Array:
        names = [key.key for key in path]
        found: Any = trained
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        if found is None and names[0].startswith(FRESH):
            return value
        if found is None or found.shape != value.shape:
            has = "none" if found is None else "x".join(map(str, found.shape))
            wanted = "x".join(map(str, value.shape))
            raise BeadsegError(
                f'config.init_from = "{source}": of another network ('
                f"{'/'.join(names)} is {wanted} here, {has} there): take config.model "
                "from its config.json"
            )
        return jnp.asarray(found, value.dtype)

    return jax.tree_util.tree_map_with_path(leaf, fresh)
