"""Training that starts from the weights of another run: fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from beadseg.default_model import DEFAULT
from beadseg.errors import BeadsegError
from beadseg.training import hosts
from beadseg.training.weights import WEIGHTS, Weights, read_weights, write_weights

if TYPE_CHECKING:  # which loads optax
    from beadseg.training.state import TrainState

START = "start.npz"  # of a run that began with the weights of another: those
FRESH = ("head_", "deep_")  # parts that may be new: what the network is asked for


def start_of(source: str) -> Weights:
    """The weights and running statistics that a run begins with.

    Args:
      source: a run folder, or "default" for the model that comes with beadseg.

    Raises:
      BeadsegError: there are none.
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
            "a finished run"
        )
    return read_weights(folder / WEIGHTS)


def start_from(state: TrainState, start: Weights, source: str) -> TrainState:
    """The fresh `state` with the weights and running statistics of a run in it.

    Heads that the run lacks keep their fresh weights, those that only it has are left
    out.

    Args:
      source: name of that run, for messages.

    Raises:
      BeadsegError: the weights are of another network.
    """
    return state._replace(
        params=_fill(state.params, start.params, source),
        statistics=_fill(state.statistics, start.statistics, source),
    )


def keep_start(source: str, folder: Path) -> Weights:
    """The weights to begin with, kept beside the run: they may change or go."""
    start = start_of(source)
    if hosts.is_primary():
        write_weights(folder / START, *start)
    return start


def mix_with_start(
    best: TrainState,
    folder: Path,
    shares: Sequence[float],
    score: float,
    place: Callable[[TrainState], TrainState],
    score_of: Callable[[TrainState], float],
    gain: float = 1.0,
) -> tuple[TrainState, dict[str, Any]]:
    """The best state with as much of its start as validation gains by.

    Args:
      shares: of the start, that are tried.
      place: a state from the host onto the devices.
      gain: share of what was gained over the start that is to be kept; of the states
        that keep it the one with most of the start is taken.

    Returns:
      It, and what the summary says of that; nothing where the start was random.
    """
    file = folder / START
    if not hosts.broadcast_from_primary(file.exists):
        return best, {}
    start, states, scores = read_weights(file), {0.0: best}, {0.0: score}
    for share in {*shares, 1.0}:
        states[share] = place(interpolate_weights(jax.device_get(best), start, share))
        found = score_of(states[share])
        scores[share] = hosts.broadcast_from_primary(lambda found=found: found)
    tried = {0.0, *shares}
    best_score = max(scores[share] for share in tried)
    least = best_score - (1 - gain) * max(best_score - scores[1.0], 0.0)
    share = max(share for share in tried if scores[share] >= least)
    return states[share], {
        "share_of_start": share,
        "start_score": scores[1.0],
        "tuned_score": score,
    }


def interpolate_weights(state: TrainState, start: Weights, share: float) -> TrainState:
    """The `state` with `share` of the weights and statistics that it started from.

    A network that went on with few images has forgotten some of what it knew; on the
    line between the two it knows both (Wortsman et al. 2022, robust fine-tuning of
    zero-shot models). Heads that were fresh stay as they are.

    Args:
      share: of the start, 0..1.
    """
    before = start_from(state, start, START)
    params, statistics = (
        jax.tree.map(lambda a, b: share * a + (1 - share) * b, *pair)
        for pair in (
            (before.params, state.params),
            (before.statistics, state.statistics),
        )
    )
    return state._replace(params=params, statistics=statistics)


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
