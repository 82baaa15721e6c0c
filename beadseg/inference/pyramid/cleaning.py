"""An image as a pyramid looks at it: less what the file, camera or slide adds."""

from typing import NamedTuple

import numpy as np

from beadseg.inference.pyramid.blocks import hidden_span
from beadseg.inference.pyramid.lettering import without_bars
from beadseg.inference.pyramid.lines import without_lines
from beadseg.inference.pyramid.noisy import span_of_few, without_noise
from beadseg.inference.pyramid.ruling import without_ruling
from beadseg.inference.pyramid.suppression import TAKEN
from beadseg.quoting import counted


class Cleaned(NamedTuple):
    """What a pyramid looks at."""

    image: np.ndarray  # [H, W], less all that
    field: np.ndarray  # [H, W], less its bars with data alone
    missing: np.ndarray | None  # bool[H, W], what has no data, bars among it
    least_span: float  # of brightness, in units of the image
    notes: tuple[str, ...]  # what a person should hear


def clean(image: np.ndarray, missing: np.ndarray | None, bars: bool) -> Cleaned:
    """Takes bars, defective and ruled lines, and noise that outweighs beads, away.

    Args:
      image: [H, W], without gaps.
      missing: bool[H, W], where it had some.
      bars: whether bars with data are looked for.
    """
    notes = []
    field, bar = without_bars(image, missing) if bars else (image, None)
    if bar is not None:
        missing = bar if missing is None else missing | bar
        rows = counted(int(bar[:, 0].sum()), "row is", "rows are")
        notes.append(f"{rows} a bar with data: left out {TAKEN}")
    straight = without_lines(field)
    even = without_ruling(straight)
    if even is not straight:
        notes.append("ruled lines, as of a counting chamber, are looked past")
    hidden = hidden_span(even)
    smooth, span = without_noise(even)
    least = max(hidden, span)
    least = max(least, span_of_few(smooth, least))
    return Cleaned(smooth, field, missing, least, tuple(notes))
