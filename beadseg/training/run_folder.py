"""The run folder: what a run is, on disk, readable without the code that made it.

config.json    every setting           split.json    which image is on which side
dataset.json   fingerprint, bead size, normalisation, what was said about the data
versions.json  python, packages, machine
metrics.jsonl  a line for each log and each evaluation
checkpoints/   the last and the best   weights.npz   the best, for prediction
start.npz      what it began with, if with weights of another run
summary.json   what came of it
curves.png samples.png                 wandb/        the W&B run
launch/        batch script and logs, where a cluster runs it
"""

import glob
import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from beadseg import __version__, old_names
from beadseg.config import base_config, flatten
from beadseg.errors import BeadsegError, note
from beadseg.files import folder_lock, read_json, remove_leftovers, write_json, writing

# Besides those of `sweep`: fields that change no number that a run computes.
_FREE_FIELDS = {
    *("data.workers", "data.cache_dir", "log.wandb", "log.project", "log.group"),
    *("log.job_type", "log.tags", "partial.self_training", "partial.parent"),
}
CONFIG = "config.json"
# in a self-training folder, whose runs lie below (partial.self_training)
ROUNDS = "rounds.json"
PACKAGES = (
    ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "scipy")
    + ("tensorflow-datasets", "array-record", "ml-collections", "tifffile", "wandb")
    + ("imagecodecs", "scikit-image", "pillow")
)


class RunFolder:
    """A folder that belongs to one config; made, or opened to continue."""

    def __init__(
        self,
        path: Path,
        config: ConfigDict,
        keeps: bool = True,
        alone: ExitStack | None = None,
    ):
        """Opens it to keep a run in it, or to look on while another process does.

        `alone` holds the folder's lock, for a process that has it for itself.

        Raises:
          BeadsegError: it cannot be written, belongs to another config, or another
            process holds it.
        """
        self.path, self.keeps = Path(path), keeps
        settings = json.loads(json.dumps(config.to_dict()))
        if not keeps:
            self._look_on(settings)
            return
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            before = self.read(CONFIG)
            if before is not None:
                self._check_same(before, settings)
            else:
                self._check_begun()
            if alone is not None:
                alone.enter_context(folder_lock(self.path))
                remove_leftovers(self.path)
            self.write(CONFIG, settings)
            self.write("versions.json", versions())

    def read(self, name: str) -> Any | None:
        """The content of a JSON file of the run, or None where there is none.

        What is damaged counts as none, for it is written anew; but not what tells
        which run this is.
        """
        file = self.path / name
        try:
            return read_json(file)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            if name == CONFIG or isinstance(error, OSError):
                raise BeadsegError(
                    f"{file}: cannot be read ({error}): move this one file away, and "
                    "the same command with the settings of this run continues "
                    "in the folder"
                ) from error
            note(f"{file}: damaged ({error}): it is written anew")
            return None

    def write(self, name: str, content: Any) -> None:
        """Writes a JSON file whole or not at all; not where it only looks on."""
        if not self.keeps:
            return
        with writing(self.path / name):
            write_json(self.path / name, content)

    def _check_begun(self) -> None:
        """Whether this may become a run, or is one that has lost its settings."""
        names = {path.name for path in self.path.iterdir()}
        if names & {"checkpoints", "metrics.jsonl"}:
            note(f"{self.path}: holds a run without {CONFIG}: taken from this command")
        elif any(not name.startswith(".") for name in names - {"launch"}):
            raise BeadsegError(
                f"{self.path}: this folder holds other files and no run: "
                "give an empty or new folder with --workdir"
            )

    def _look_on(self, settings: dict) -> None:
        before = self.read(CONFIG)
        if before is None:
            raise BeadsegError(
                f"{self.path}: what the first process has written is not here: give a "
                "folder that all processes see with --workdir"
            )
        self._check_same(before, settings)

    def _check_same(self, before: dict, now: dict) -> None:
        before, now = flatten(before), flatten(now)
        # More epochs only add to what has been done.
        more = {"train.epochs"} if self.keeps and not now["optim.cosine"] else set()
        for field, how in changed(before, now):
            if not is_free(field) and field not in more:
                raise BeadsegError(
                    f"{self.path}: this run was made with {field} = {how}: give the "
                    "same config, or another folder with --workdir"
                )


def is_free(field: str) -> bool:
    """Whether a run may continue with another value of a field, by its dotted name."""
    return field.startswith("sweep.") or field in _FREE_FIELDS


def changed(before: dict, now: dict) -> Iterator[tuple[str, str]]:
    """The fields in which settings by dotted names differ, and how: "1, not 2".

    A field that came after `before` was written counts as it is in `configs/base.py`.
    """
    base = flatten(json.loads(json.dumps(base_config().to_dict())))
    for field in sorted(before.keys() | now.keys()):
        was, is_ = before.get(field, base.get(field)), now.get(field)
        if was != is_:
            yield field, f"{was!r}, not {is_!r}"


def settings_in(folder: Path) -> dict[str, Any]:
    """The settings of a run by dotted names, or of the first run of a self-training.

    Raises:
      OSError, ValueError: there are none, or they are damaged.
    """
    first = folder / "round_0" / "run"
    return flatten(read_json((first if first.exists() else folder) / CONFIG))


def default_workdir(
    name: str,
    config: ConfigDict,
    settings_in: Callable[[Path], dict[str, Any]] = settings_in,
) -> Path:
    """`runs/NAME-KEY`: the same settings find their run again, others get their own.

    KEY is made from all settings. A version that adds one makes another of the same
    settings: a folder is found then by what is in it.

    Args:
      settings_in: reads those of a folder; raises OSError, ValueError or LookupError.
    """

    def counts(field: str) -> bool:
        return not is_free(field) and field != "train.epochs"

    fields = flatten(config.to_dict())
    kept = {field: value for field, value in fields.items() if counts(field)}
    text = json.dumps(old_names.first_names(kept), sort_keys=True)
    if config.partial.self_training:  # a folder of runs, not a run
        name += "-rounds"
    folder = Path("runs") / f"{name}-{hashlib.blake2b(text.encode()).hexdigest()[:6]}"
    now = json.loads(json.dumps(fields))

    def holds_it(other: Path) -> bool:
        try:
            differ = changed(settings_in(other), now)
            return not any(counts(field) for field, _ in differ)
        except (OSError, ValueError, LookupError):
            return False

    if folder.exists():
        return folder
    others = sorted(Path("runs").glob(f"{glob.escape(name)}-" + 6 * "[0-9a-f]"))
    return next(filter(holds_it, others), folder)


def versions() -> dict[str, str | int | None]:
    """Python, packages and machine that a run is made with."""
    found = {"beadseg": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found | {"platform": platform.platform(), "cpus": os.cpu_count()}
