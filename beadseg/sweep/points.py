"""The algebra of sweeps: a point is a flat dict of config fields, a sweep a list of it.

A config file with `sweep(add)` beside `get_config()` is a sweep:

    def sweep(add):
        rates = over("optim.learning_rate", 1e-4, 1e-3)
        losses = over("loss.name", "bce", "dice")
        for point in product(losses, rates):
            add(point)

It may be `sweep(add, config)`, if the points depend on other settings.

One with `space()`, a dict of ranges, is searched by Optuna or at random:

    def space():
        return {"optim.learning_rate": log_uniform(1e-5, 1e-2)}
"""

import inspect
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from beadseg import old_names
from beadseg.errors import BeadsegError

Point = dict[str, Any]

# Fields that say how and where a run is computed, or how a sweep goes: not points.
_NOT_POINTS = ("sweep.", "log.", "data.workers", "data.cache_dir")


class Uniform(NamedTuple):
    """Numbers from `low` to `high`, all as likely, or their logarithms."""

    low: float
    high: float
    log: bool = False
    whole: bool = False  # integers, `high` included

    def draw(self, rng: np.random.Generator) -> float | int:
        """One number."""
        if self.whole:
            return int(rng.integers(self.low, self.high, endpoint=True))
        if self.log:
            return float(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))
        return float(rng.uniform(self.low, self.high))


class Choice(NamedTuple):
    """One of some values, all as likely."""

    values: tuple[Any, ...]

    def draw(self, rng: np.random.Generator) -> Any:
        """One of the values."""
        return self.values[int(rng.integers(len(self.values)))]


Space = Mapping[str, Uniform | Choice]


def uniform(low: float, high: float) -> Uniform:
    """Numbers between two, all as likely."""
    return _checked(Uniform(low, high))


def log_uniform(low: float, high: float) -> Uniform:
    """Positive numbers, each factor as likely: for rates and weights."""
    if low <= 0:
        raise BeadsegError(f"log_uniform({low}, {high}): both must be above 0")
    return _checked(Uniform(low, high, log=True))


def integers(low: int, high: int) -> Uniform:
    """Whole numbers from `low` to `high`, both included."""
    return _checked(Uniform(low, high, whole=True))


def choice(*values: Any) -> Choice:
    """One of the values."""
    if not values:
        raise BeadsegError("choice(): give at least one value")
    return Choice(values)


def over(field: str, *values: Any) -> list[Point]:
    """One point for each value of a field."""
    return [{field: value} for value in values]


def product(*sweeps: Iterable[Point]) -> list[Point]:
    """Every point of one with every point of the others; the last varies fastest."""
    return [_merged(points) for points in itertools.product(*sweeps)]


def zip_(*sweeps: Sequence[Point]) -> list[Point]:
    """The first points together, the second together, ...; of equal number."""
    sizes = [len(sweep) for sweep in sweeps]
    if len(set(sizes)) > 1:
        raise BeadsegError(f"zip_: sweeps of {sizes} points: give as many in each")
    return [_merged(points) for points in zip(*sweeps, strict=True)]


def chain(*sweeps: Iterable[Point]) -> list[Point]:
    """All points of one after those of the other."""
    return list(itertools.chain(*sweeps))


def draws(space: Space, count: int, seed: int = 0) -> list[Point]:
    """Different points drawn at random; the same for the same seed.

    Raises:
      BeadsegError: the space holds fewer points.
    """
    rng = np.random.default_rng(seed)
    points: dict[str, Point] = {}
    for _ in range(100 * count):
        if len(points) == count:
            break
        point = {field: values.draw(rng) for field, values in space.items()}
        points.setdefault(_key(point), point)
    if len(points) < count:
        raise BeadsegError(
            f"draws: {count} different points were asked of a space of some "
            f"{len(points)}: ask for fewer"
        )
    return list(points.values())


def collect(sweep: Callable[..., None], config: ConfigDict) -> list[Point]:
    """The points that a config file's `sweep(add)` or `sweep(add, config)` adds.

    `config` is the base config, with what the command line changed in it.
    """
    points: list[Point] = []
    several = len(inspect.signature(sweep).parameters) > 1
    sweep(points.append, config) if several else sweep(points.append)
    return [old_names.point(point) for point in points]


def configs(base: ConfigDict, points: Sequence[Point]) -> list[ConfigDict]:
    """The config of each point.

    Raises:
      BeadsegError: there is no point, two are the same, or one has a field that does
        not exist, has another type or cannot be swept.
    """
    if not points:
        raise BeadsegError("the sweep is empty: let sweep(add) add at least one point")
    found: list[ConfigDict] = []
    seen: dict[str, int] = {}
    for number, point in enumerate(points):
        found.append(apply(base, point, f"point {number} of the sweep"))
        key = found[-1].to_json_best_effort(sort_keys=True)
        if key in seen:
            raise BeadsegError(
                f"points {seen[key]} and {number} of the sweep are the same "
                f"({describe(point)}): leave one out"
            )
        seen[key] = number
    return found


def apply(base: ConfigDict, point: Point, where: str) -> ConfigDict:
    """A copy of `base` with the fields of a point."""
    for field in point:
        if field == "partial.self_training":
            raise BeadsegError(
                f"{where}: partial.self_training is for one run: train the best point "
                "of the sweep with --config.partial.self_training"
            )
        if field.startswith(_NOT_POINTS):
            raise BeadsegError(
                f"{where}: {field} says how a sweep is run and cannot differ between "
                f"its points: set it with --config.{field}"
            )
    config = base.copy_and_resolve_references()
    diameter = point.get("data.bead_diameter", config.data.bead_diameter)
    with config.ignore_type():  # a copy forgets that it may be a number or "auto"
        config.data.bead_diameter = diameter
    try:
        config.update_from_flattened_dict(point)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).strip("'\"").split())
        raise BeadsegError(
            f"{where} ({describe(point)}): {reason} (fields are in configs/base.py)"
        ) from error
    return config


def describe(point: Point) -> str:
    """A point in few words: the last part of each field, and its value."""
    names = [field.rsplit(".", 1)[-1] for field in point]
    whole = {name for name in names if names.count(name) > 1}
    return ", ".join(
        f"{field if name in whole or name == 'name' else name}={short(value)}"
        for (field, value), name in zip(point.items(), names, strict=True)
    )


def short(value: Any) -> str:
    """A value of a field in few letters."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _merged(points: Iterable[Point]) -> Point:
    merged: Point = {}
    for point in points:
        twice = merged.keys() & point.keys()
        if twice:
            raise BeadsegError(
                f"{min(twice)} is set twice in one point: give each field to one part "
                "of a product or zip_"
            )
        merged |= point
    return merged


def _checked(values: Uniform) -> Uniform:
    if not values.low < values.high:
        raise BeadsegError(
            f"a range from {values.low} to {values.high} is empty: give the lower first"
        )
    return values


def _key(point: Point) -> str:
    return json.dumps(point, sort_keys=True, default=str)
