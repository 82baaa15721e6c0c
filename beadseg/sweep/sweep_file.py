"""What a config file adds to its settings: the points of a sweep, or a space of them.

jax is not imported here: `launch/submit.py` only asks what it is to start.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from beadseg.config import load_module
from beadseg.files import read_json
from beadseg.sweep.points import Point, Space, collect, draws
from beadseg.sweep.search import SEARCHES
from beadseg.training.run_folder import default_workdir


class Sweep(NamedTuple):
    """What a config file adds to its `get_config()`."""

    points: list[Point]
    space: Space | None


def sweep_of(file: str, config: ConfigDict) -> Sweep | None:
    """The sweep of a config file; None if it has neither `sweep` nor `space`.

    Args:
      file: as given to --config, perhaps with ":argument".
      config: the base settings; `sweep.search` and `sweep.trials` say what of a space.
    """
    module = load_module(file.split(":")[0])
    if not (hasattr(module, "sweep") or hasattr(module, "space")):
        return None
    space = module.space() if hasattr(module, "space") else None
    search = SEARCHES.get(config.sweep.search)  # the run refuses an unknown one
    if search is not None and search.of_space:
        return Sweep([], space)
    if hasattr(module, "sweep"):
        return Sweep(collect(module.sweep, config), space)
    return Sweep(draws(space, config.sweep.trials, config.seed), space)


def sweep_workdir(sweep: Sweep, config: ConfigDict, name: str) -> Path:
    """`runs/NAME-KEY`, KEY made from the settings and the points."""

    def listed(points: Iterable[Point], epochs: int) -> list:
        """A run may grow, a sweep may not."""
        return [*(sorted(map(list, point.items())) for point in points), epochs]

    def settings_in(folder: Path) -> dict[str, Any]:
        content = read_json(folder / "sweep.json")
        fields = content["config"]
        return fields | {"points": listed(content["points"], fields["train.epochs"])}

    settings = config.copy_and_resolve_references().unlock()
    settings.points = listed(sweep.points, config.train.epochs)
    return default_workdir(name, settings, settings_in)
