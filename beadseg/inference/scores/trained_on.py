"""Which images a run was trained on: scores on them say little about others."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from beadseg.config import flatten
from beadseg.data.cache import hash_file
from beadseg.data.images.readers import endings
from beadseg.data.images.reading import file_stem
from beadseg.errors import BeadsegError
from beadseg.files import read_json_or_none
from beadseg.inference.settings import DEFAULT_NAME, FILE


class Trained(NamedTuple):
    """What is known of the training images of one run and of those it began with."""

    names: frozenset[str]  # of pages
    digests: frozenset[str]  # of the content of their files, as far as these are there
    files: frozenset[str]  # names of these files, without ending


class Runs(NamedTuple):
    """The runs behind a prediction; the default model is none of them."""

    there: tuple[Path, ...]
    gone: tuple[Path, ...]  # that the prediction names


def runs_of(predicted: Path, given: Iterable[Path]) -> Runs:
    """The runs behind a prediction: those given, else those that its folder names.

    Raises:
      BeadsegError: one that was given is no run folder.
    """
    given = tuple(given)
    for run in given:
        if not _is_run(run):
            raise BeadsegError(
                f"{run}: not a run folder (no config.json in it): give one with --run"
            )
    if given:
        return Runs(given, ())
    content = read_json_or_none(predicted / FILE) or {}
    named = content.get("runs")
    runs = named if isinstance(named, list) else []
    names = [run.get("run") for run in runs if isinstance(run, dict)]
    paths = [Path(str(name)) for name in names if name != DEFAULT_NAME]
    there = tuple(path for path in paths if _is_run(path))
    return Runs(there, tuple(path for path in paths if path not in there))


def trained_on(runs: Iterable[Path]) -> list[Trained]:
    """What runs were trained on, and the runs whose weights they began with."""
    found, left, seen = [], list(runs), set()
    while left:
        run = left.pop()
        config, split = (
            read_json_or_none(run / f"{name}.json") for name in ("config", "split")
        )
        if run.resolve() in seen or not config:
            continue
        seen.add(run.resolve())
        settings = flatten(config)
        for field in ("init_from", "partial.parent"):
            begun = settings.get(field)
            if isinstance(begun, str) and _is_run(Path(begun)):
                left.append(Path(begun))
        folder, records = settings.get("data.dir"), (split or {}).get("train")
        if folder and isinstance(folder, str) and isinstance(records, list):
            names = {str(record).rsplit("@", 1)[0] for record in records}
            found.append(_of_folder(Path(folder).expanduser() / "images", names))
    return found


def is_trained_on(name: str, image: Path | None, trained: Iterable[Trained]) -> bool:
    """Whether a page was trained on: by the content of its file, else by its name."""
    digest = hash_file(image) if image is not None and image.is_file() else None
    for one in trained:
        if digest is not None and digest in one.digests:
            return True
        unsure = digest is None or not any(_belongs(name, f) for f in one.files)
        if unsure and name in one.names:
            return True
    return False


def _of_folder(images: Path, names: set[str]) -> Trained:
    files = {}
    if images.is_dir():
        files = {
            file_stem(file): file
            for file in images.iterdir()
            if file.suffix.lower() in endings() and file.is_file()
        }
    used = {s: f for s, f in files.items() if any(_belongs(n, s) for n in names)}
    digests = frozenset(hash_file(file) for file in used.values())
    return Trained(frozenset(names), digests, frozenset(used))


def _belongs(name: str, stem: str) -> bool:
    """Whether a page is of a file: NAME, or NAME_p000, or NAME_t003_z01."""
    page = name.removeprefix(stem)
    return name.startswith(stem) and re.fullmatch(r"(_[pstz]\d+)*", page) is not None


def _is_run(path: Path) -> bool:
    return (path / "config.json").is_file()
