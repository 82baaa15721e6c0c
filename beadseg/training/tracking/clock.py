"""Where the time of a run goes."""

import time

from beadseg.training.step import TrainSums


class Clock:
    """Seconds spent on data, steps and evaluation since it was made."""

    def __init__(self) -> None:
        self.data, self.step, self.evaluation = Watch(), Watch(), Watch()

    def row(self, sums: TrainSums) -> dict[str, float]:
        """What a line of the logs says of speed."""
        busy = self.data.seconds + self.step.seconds
        return {
            "images_per_second": float(sums.examples) / busy,
            "seconds_data": self.data.seconds,
            "seconds_step": self.step.seconds,
            "seconds_evaluation": self.evaluation.seconds,
        }


class Watch:
    """Adds up the time spent within its context."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.monotonic() - self._since
