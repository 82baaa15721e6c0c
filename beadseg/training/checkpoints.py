"""Checkpoints of a run: the last and the best, written aside and then renamed.

Order in which a checkpoint is looked for:
  to resume   `checkpoints/`: the latest whole one (after an epoch, or at a signal)
  to predict  `checkpoints/`: the one with the best score: validation Jaccard, or
              F1 of the beads where masks are marks
A damaged one is passed over for the next; to resume, it is moved to `damaged/` of the
run, so that nothing is lost and orbax does not count on it.
"""

import functools
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from beadseg.errors import BeadsegError, note, reason
from beadseg.files import disk_error, writing
from beadseg.libraries import allow_nameless

POLICIES = ocp.training.preservation_policies


class Checkpoints:
    """Keeps the last and the best of a run, asynchronously, with orbax."""

    def __init__(self, folder: Path):
        _keep_quiet()
        allow_nameless()
        self._folder = folder.absolute()
        self._pending = None
        self._broken = False  # a disk has failed: nothing more is waited for
        self._open()

    def _open(self) -> None:
        kept = POLICIES.BestN(
            get_metric_fn=_score, n=1, keep_checkpoints_without_metrics=False
        )
        every = ocp.training.save_decision_policies.FixedIntervalPolicy(1)
        with self._writing():
            self._checkpointer = ocp.training.Checkpointer(
                self._folder,
                save_decision_policy=every,
                preservation_policy=POLICIES.AnyPreservationPolicy(
                    [POLICIES.LatestN(1), kept]
                ),
                cleanup_tmp_directories=True,
            )

    @property
    def latest_step(self) -> int | None:
        """Step of the latest whole checkpoint, or None."""
        latest = self._checkpointer.latest
        return None if latest is None else latest.step

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
        with self._writing():
            self._pending = self._checkpointer.save_checkpointables_async(
                step,
                {"state": state, "iterator": iterator},
                metrics=metrics,
                overwrite=step == self.latest_step,
            )

    def wait(self) -> None:
        """Blocks until the checkpoint under way is whole.

        Raises:
          BeadsegError: it cannot be written.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            with self._writing():
                pending.result()

    def restore_latest(self, like: Any, iterator: Any) -> tuple[Any, int] | None:
        """The latest state that is not damaged, and its step; None where there is none.

        Raises:
          BeadsegError: there are some, and none can be read.
        """
        steps = sorted((c.step for c in self._checkpointer.checkpoints), reverse=True)
        if not steps:
            return None
        errors: dict[int, BeadsegError] = {}
        for step in steps:
            try:
                found = self.restore(like, step, iterator)
            except BeadsegError as error:
                errors[step] = error
                if jax.process_count() > 1:  # all would have to choose alike
                    break
                continue
            for damaged in errors:
                self._set_aside(damaged, step)
            return found, step
        raise errors[steps[0]]

    def restore_best(self, like: Any) -> tuple[Any, int]:
        """The best state that is not damaged, and its step.

        Raises:
          BeadsegError: none can be read.
        """
        every = sorted((c.step for c in self._checkpointer.checkpoints), reverse=True)
        steps = _steps_by_score(self._checkpointer) or every
        for step in steps[:-1]:
            try:
                return self.restore(like, step), step
            except BeadsegError as error:
                note(f"{error}; taking the next best")
        return self.restore(like, steps[-1]), steps[-1]

    def restore(self, like: Any, step: int, iterator: Any | None = None) -> Any:
        """Loads the state of a step, and sets `iterator` to its place if given.

        Raises:
          BeadsegError: the checkpoint does not fit `like`, or is damaged.
        """
        wanted = {"state": jax.tree.map(_abstract, like)}
        if iterator is not None:
            wanted["iterator"] = iterator
        try:
            return self._checkpointer.load_checkpointables(step, wanted)["state"]
        except Exception as error:  # orbax raises many kinds; all mean the same here
            where = f"{self._checkpointer.directory}/{step}"
            raise _unreadable(where, error) from error

    def close(self) -> None:
        """Waits and lets go of the folder.

        Raises:
          BeadsegError: what was under way cannot be written.
        """
        try:
            self.wait()
        finally:
            with self._writing():
                self._checkpointer.close()

    def _set_aside(self, damaged: int, instead: int) -> None:
        aside = self._folder.parent / "damaged"
        with writing(aside), self._writing():
            self._checkpointer.close()
            aside.mkdir(exist_ok=True)
            place = aside / f"{damaged}-{time.time_ns()}"
            (self._folder / str(damaged)).rename(place)
        note(
            f"the checkpoint of step {damaged} is damaged and now in {place}: going on "
            f"from that of step {instead}"
        )
        self._open()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One line, once, for whatever orbax raises when it cannot write."""
        try:
            yield
        except Exception as error:
            if self._broken:  # said before
                return
            self._broken = True
            failure = disk_error(error)
            if failure is None:
                failure = OSError(None, reason(error))
            raise BeadsegError(
                f"{self._folder}: no checkpoint can be written ({failure.strerror}): "
                "free space and run the same command again, which continues from the "
                "last whole one, or give another folder with --workdir"
            ) from failure


def best_state(folder: Path) -> dict[str, Any] | None:
    """The state of the best checkpoint as nested dicts; None where there is none.

    Only reads: training may go on in that folder meanwhile.

    Raises:
      BeadsegError: the checkpoint is damaged.
    """
    if not folder.is_dir():
        return None
    _keep_quiet()
    allow_nameless()
    with ocp.training.Checkpointer(folder.absolute()) as checkpointer:
        steps = _steps_by_score(checkpointer)
        for step in steps:
            try:
                # A warning says that it may have been on more devices.
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)
                    loaded = checkpointer.load_checkpointables(step, {"state": None})
                    return jax.tree.map(np.asarray, loaded["state"]["state"])
            except Exception as error:  # as in `restore`
                if step == steps[-1]:
                    raise _unreadable(f"{folder}/{step}", error) from error
                note(f"{_unreadable(f'{folder}/{step}', error)}; taking the next best")
    return None


def _steps_by_score(checkpointer) -> list[int]:
    """Steps that were evaluated, the best first; of equals, the first."""
    scored = [(c.step, _score(c.metrics)) for c in checkpointer.checkpoints]
    ranked = [(step, score) for step, score in scored if score is not None]
    return [step for step, _ in sorted(ranked, key=lambda s: (-s[1], s[0]))]


def _score(metrics: Any) -> float | None:
    """Of a checkpoint; older ones call it Jaccard, which it was."""
    if not isinstance(metrics, dict):
        return None
    found = metrics.get("score", metrics.get("jaccard"))
    return float(found) if isinstance(found, int | float) else None


def _unreadable(where: str, error: Exception) -> BeadsegError:
    return BeadsegError(
        f"{where}: this checkpoint cannot be read ({reason(error)}): delete that "
        "folder to continue without it"
    )


@functools.cache
def _keep_quiet() -> None:
    """Says nothing of what orbax's threads say when one of them has failed.

    Orbax closes its event loop at the first array that cannot be read or written; each
    of the others then finds it closed, in a thread where nobody can catch that, and
    prints a traceback around the one line that names the checkpoint. They may do so
    long after the failure, or be reported by asyncio as never asked for their errors.
    """
    unraisable, uncaught = sys.unraisablehook, sys.excepthook

    def hook(found) -> None:
        code = getattr(found.object, "cr_code", None)  # of a coroutine
        given_up = code is not None and "orbax" in code.co_filename
        if not (given_up or _is_late(found.exc_value)):
            unraisable(found)

    def printed(kind, error, trace) -> None:
        if not _is_late(error):
            uncaught(kind, error, trace)

    sys.unraisablehook, sys.excepthook = hook, printed
    logging.getLogger("asyncio").disabled = True


def _is_late(error: BaseException | None) -> bool:
    return isinstance(error, RuntimeError) and "Event loop is closed" in str(error)


def _abstract(x):
    if isinstance(x, jax.Array):
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
    return np.asarray(x)
