"""Checkpoints of a run: the last and the best, written aside and then renamed.

Order in which a checkpoint is looked for:
  to resume   `checkpoints/`: the latest whole one (after an epoch, or at a signal)
  to predict  `checkpoints/`: the one with the best score: validation Jaccard, or
              F1 of the beads where masks are marks
"""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from beadseg.errors import BeadsegError

POLICIES = ocp.training.preservation_policies


class Checkpoints:
    """Keeps the last and the best of a run, asynchronously, with orbax."""

    def __init__(self, folder: Path):
        self._checkpointer = ocp.training.Checkpointer(
            folder.absolute(),
            save_decision_policy=(
                ocp.training.save_decision_policies.FixedIntervalPolicy(1)
            ),
            preservation_policy=POLICIES.AnyPreservationPolicy(
                [
                    POLICIES.LatestN(1),
                    POLICIES.BestN(
                        get_metric_fn=_score,
                        n=1,
                        keep_checkpoints_without_metrics=False,
                    ),
                ]
            ),
            cleanup_tmp_directories=True,
        )
        self._pending = None

    @property
    def latest_step(self) -> int | None:
        """Step of the latest whole checkpoint, or None."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

    @property
    def best_step(self) -> int | None:
        """Step of the checkpoint with the highest score; of equals, the first."""
        return _best_step(self._checkpointer)

    def save(
        self, step: int, state: Any, iterator: Any, score: float | None = None
    ) -> None:
        """Starts writing a checkpoint; waits only for the one before it.

        `state` is a pytree of arrays and `iterator` a grain iterator not yet advanced
        past `step`. `score` is given after an evaluation, and makes it eligible as
        the best.
        """
        self.wait()
        metrics = None if score is None else {"score": score}
        self._pending = self._checkpointer.save_checkpointables_async(
            step,
            {"state": state, "iterator": iterator},
            metrics=metrics,
            overwrite=step == self.latest_step,
        )

    def wait(self) -> None:
        """Blocks until the checkpoint under way is whole."""
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def restore(self, like: Any, step: int, iterator: Any | None = None) -> Any:
        """Loads the state of a step, and sets `iterator` to its place if given.

        Raises:
          BeadsegError: the checkpoint does not fit `like`, or is damaged.
        """
        wanted = {"state": jax.tree.map(_abstract, like)}
        if iterator is not None:
            wanted["iterator"] = iterator
        try:
            with _quiet_readers():
                return self._checkpointer.load_checkpointables(step, wanted)["state"]
        except Exception as error:  # orbax raises many kinds; all mean the same here
            where = f"{self._checkpointer.directory}/{step}"
            raise _unreadable(where, error) from error

    def close(self) -> None:
        """Waits and lets go of the folder."""
        self.wait()
        self._checkpointer.close()


def best_state(folder: Path) -> dict[str, Any] | None:
    """The state of the best checkpoint as nested dicts; None where there is none.

    Only reads: training may go on in that folder meanwhile.

    Raises:
      BeadsegError: the checkpoint is damaged.
    """
    if not folder.is_dir():
        return None
    with ocp.training.Checkpointer(folder.absolute()) as checkpointer:
        step = _best_step(checkpointer)
        if step is None:
            return None
        try:
            # A warning says that it may have been on more devices.
            with _quiet_readers(), warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                loaded = checkpointer.load_checkpointables(step, {"state": None})
        except Exception as error:  # as in `restore`
            raise _unreadable(f"{folder}/{step}", error) from error
    return jax.tree.map(np.asarray, loaded["state"]["state"])


def _best_step(checkpointer) -> int | None:
    scored = [c for c in checkpointer.checkpoints if c.metrics]
    if not scored:
        return None
    return max(scored, key=lambda c: (_score(c.metrics), -c.step)).step


def _score(metrics: dict[str, float]) -> float:
    """Of a checkpoint; older ones call it Jaccard, which it was."""
    return metrics["score"] if "score" in metrics else metrics["jaccard"]


def _unreadable(where: str, error: Exception) -> BeadsegError:
    reason = str(error).strip().split("\n")[0][:200]
    return BeadsegError(
        f"{where}: this checkpoint cannot be read ({reason}): delete that folder to go "
        "on from an older one"
    )


@contextmanager
def _quiet_readers() -> Iterator[None]:
    """Keeps to itself what orbax's readers say when one of them has failed.

    Orbax closes its event loop at the first array that cannot be read; each of the
    others then finds it closed, in a thread where nobody can catch that, and prints a
    traceback around the one line that names the checkpoint. They may still do so long
    after the failure, or be reported by asyncio as never asked for their errors, so
    that only success ends the quiet.
    """
    told, log = sys.unraisablehook, logging.getLogger("asyncio")

    def hook(unraisable) -> None:
        error = unraisable.exc_value
        late = isinstance(error, RuntimeError) and "Event loop is closed" in str(error)
        if not late:
            told(unraisable)

    sys.unraisablehook, log.disabled = hook, True
    yield
    sys.unraisablehook, log.disabled = told, False


def _abstract(x):
    if isinstance(x, jax.Array):
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
    return np.asarray(x)
