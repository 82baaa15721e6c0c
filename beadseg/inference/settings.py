"""What a person asks of a prediction, checked before anything is loaded."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from beadseg.errors import BeadsegError
from beadseg.files import read_json
from beadseg.inference.outputs.columns import CHANNELS
from beadseg.inference.outputs.measure import EDGES

FILE = "prediction.json"  # of a prediction folder: these and the runs
DEFAULT_NAME = "the default model"  # in it and in messages
CALIBRATED = "calibrated_scores"  # in it: whether scores are the share that is right
AUTO = "auto"
POLARITIES = ("any", "bright", "dark")


@dataclass(frozen=True)
class Settings:
    """What a person asks of a prediction."""

    threshold: float | str = AUTO  # of the probability, where beads end
    diameter: float | str = AUTO  # px of the beads in the image
    min_score: float | str = AUTO  # beads of less are left out
    polarity: str = "any"  # or "bright", "dark": than what lies around

    def __post_init__(self):
        """Raises BeadsegError for a value out of its range."""
        for name, allowed, advice in (
            ("threshold", lambda x: 0 < x < 1, "a number between 0 and 1"),
            ("min_score", lambda x: 0 <= x < 1, "a number from 0 to below 1"),
            ("diameter", lambda x: 0 < x < float("inf"), "px above 0"),
        ):
            value = getattr(self, name)
            known = isinstance(value, Real)
            if value != AUTO and not (known and allowed(value)):
                option = name.replace("_", "-")
                shown = f"{value:g}" if known else value
                raise BeadsegError(f"--{option} {shown}: give {advice}")
        if self.polarity not in POLARITIES:
            raise BeadsegError(
                f"--polarity {self.polarity}: give one of {', '.join(POLARITIES)}"
            )


def read_settings(folder: Path) -> dict[str, Any]:
    """What a prediction folder was made with: what is in it is of its kind.

    Raises:
      FileNotFoundError: it is no prediction folder.
      OSError: its file cannot be read.
      ValueError: it is damaged, in one line.
    """
    found = read_json(folder / FILE)
    for name, fits in _FITS.items():
        if name in found and not fits(found[name]):
            raise ValueError(f"{name} = {found[name]!r:.60} cannot be")
    return found


def names_of_runs(made: dict[str, Any]) -> list[str]:
    """The runs that a prediction was made with, by its settings; [] of given labels."""
    return [run["run"] for run in made.get("runs") or []]


def has_calibrated_scores(made: dict[str, Any]) -> bool:
    """Whether the scores of a prediction are the share that is right, by its settings.

    Folders of older versions do not say it: there they are of the default model alone.
    """
    return made.get(CALIBRATED, names_of_runs(made)[:1] == [DEFAULT_NAME])


def _is_auto_or_number(value: Any) -> bool:
    return value == AUTO or type(value) in (int, float)


def _are_runs(value: Any) -> bool:
    return (
        value is None
        or _is_list_of(dict, value)
        and all(isinstance(run.get("run"), str) for run in value)
    )


def _is_list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, kind) for v in value)


_FITS: dict[str, Callable[[Any], bool]] = {
    "beadseg": lambda value: isinstance(value, str),
    "runs": _are_runs,
    "threshold": _is_auto_or_number,
    "diameter": _is_auto_or_number,
    "min_score": _is_auto_or_number,
    "polarity": lambda value: value in POLARITIES,
    "only": lambda value: value is None or _is_list_of(str, value),
    "edge": lambda value: value in EDGES,
    "channels": lambda value: value in CHANNELS,
    CALIBRATED: lambda value: isinstance(value, bool),
}
