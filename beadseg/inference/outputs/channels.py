"""How bright the beads are in every channel of their file.

They are found in one channel. The others are read one at a time, once all beads are
known.
"""

import numpy as np

from beadseg.data.images.gaps import fill
from beadseg.data.images.reading import PageRef, ReadError, check_image
from beadseg.inference.outputs.background import Background
from beadseg.inference.outputs.columns import INTENSITIES
from beadseg.inference.outputs.measure import BAND
from beadseg.inference.outputs.surroundings import intensities
from beadseg.inference.scratch import Scratch
from beadseg.tables import Table


def in_channel(
    name: str,
    image: np.ndarray,
    labels: np.ndarray | Scratch,
    table: Table,
    boxes: np.ndarray,
    probability: np.ndarray | Scratch | None = None,
    threshold: float = 0.5,
) -> Table:
    """The columns `INTENSITIES` of beads in a channel, named after it.

    Args:
      name: of the channel.
      image: [H, W]; what is NaN, infinite or blank has no data.
      labels: i32[H, W].
      table: one row per bead, with label, y, x, diameter_px.
      boxes: i64[N, 4], first and last + 1 row, first and last + 1 column.
      probability: f32[H, W]; None: 1 in beads, 0 elsewhere.
      threshold: of the probability.
    """
    image, missing = fill(image)
    background = Background(image.shape, threshold)
    for top in range(0, image.shape[0], BAND):
        rows = slice(top, top + BAND)
        some = labels[rows]
        likely = some > 0 if probability is None else probability[rows]
        if missing is not None:
            likely = np.where(missing[rows], 1, likely)  # no clear background
        background.add(some, image[rows], likely)
    around, _ = background.around(table["y"], table["x"], table["diameter_px"])
    found = intensities(labels, image, table, boxes, around, missing)
    return {f"{column}_{name}": found[column] for column in INTENSITIES}


def in_channels(
    page: PageRef,
    which: str,
    labels: np.ndarray | Scratch,
    table: Table,
    boxes: np.ndarray,
    *more,
) -> tuple[Table, list[str]]:
    """The columns of `in_channel` for channels of the file that the beads are in.

    Args:
      page: the one in which the beads were found.
      which: of `outputs.columns.CHANNELS`.
      labels, table, boxes, more: of `in_channel`.

    Returns:
      The columns, and a line on each channel that cannot be read: its columns are NaN.
    """
    found: Table = {}
    problems = []
    channels = () if which == "one" else page.channels
    if which == "auto" and page.kind == "colour" and channels:
        channels = channels if channels[0].sample is None else ()
    for number, channel in enumerate(channels):
        if number == page.number:
            found |= {f"{name}_{channel.name}": table[name] for name in INTENSITIES}
            continue
        try:
            image = _read(page.of_channel(number))
        except ReadError as error:
            problems.append(f"channel {channel.name} is not measured: {error}")
            none = np.full(len(table["label"]), np.nan)
            found |= {f"{name}_{channel.name}": none for name in INTENSITIES}
            continue
        found |= in_channel(channel.name, image, labels, table, boxes, *more)
        del image  # before the next is read
    return found, problems


def _read(page: PageRef) -> np.ndarray:
    image = page.read()
    check_image(image, page.where, constant=True)
    return image
