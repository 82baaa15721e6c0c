"""What a person asks of a prediction, checked before anything is loaded."""

from dataclasses import dataclass
from numbers import Real

from beadseg.errors import BeadsegError

FILE = "prediction.json"  # of a prediction folder: these and the runs
DEFAULT_NAME = "the default model"  # in it and in messages
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
