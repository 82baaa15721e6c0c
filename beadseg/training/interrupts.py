"""Ctrl-C and SIGTERM as a flag that the loop looks at between two steps."""

import signal
import time
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A scheduler signals each process of a job, and its script the child: that is one.
ONE = 2.0  # s within which signals are one


class Interrupts:
    """Within this context a first signal only sets `received`; a later one stops.

    The handlers of before are put back on leaving.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def __enter__(self) -> "Interrupts":
        self._before = {s: signal.signal(s, self._handle) for s in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.received is None:
            self.received, self._at = signal.Signals(number), now
        elif now > self._at + ONE:
            raise KeyboardInterrupt
