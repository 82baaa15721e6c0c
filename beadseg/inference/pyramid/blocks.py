"""What the compression of JPEG took from an image: the noise that its steps hide.

Blocks of 8 x 8 px are stored as cosines in steps. Where noise is less than a step, flat
blocks lie beside single cosines, which a span of the noise that is left would stretch
to full contrast.
"""

import math

import numpy as np
from scipy.fft import dctn

from beadseg.data.scaling import NOISE_SPAN, as_floats, middle

BLOCK = 8  # px
SIDE = 1024  # px of the middle of an image, which tell it
EDGES = 1.25  # times as much as anywhere else neighbours of two blocks differ
COSINES = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))  # the slowest; rows, columns
STORED = 1.5  # brightness; less is what rounding leaves of a cosine that is not stored
ENOUGH = 20  # blocks that hold one, to tell its steps
LEAST = 10  # percentile of those, which is one step


def hidden_span(image: np.ndarray) -> float:
    """The span that the noise hidden by compression asks for, as `NOISE_SPAN` does.

    Args:
      image: [H, W], without gaps.

    Returns:
      In units of the image; 0 where it is not made of blocks.
    """
    part = as_floats(image[middle(image.shape, SIDE)])
    if min(part.shape) < 3 * BLOCK:
        return 0.0
    first = [_first_block(part.T), _first_block(part)]
    if None in first:
        return 0.0
    part = part[first[0] :, first[1] :]
    rows, columns = (n // BLOCK for n in part.shape)
    part = part[: rows * BLOCK, : columns * BLOCK]
    blocks = part.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2)
    cosines = np.abs(dctn(blocks, axes=(2, 3), norm="ortho"))
    steps = []
    for at in COSINES:
        stored = cosines[..., *at]
        stored = stored[stored > STORED]
        if len(stored) >= ENOUGH:
            steps.append(np.percentile(stored, LEAST))
    # Rounding to steps is off by as much as noise of a step over the root of 12.
    return NOISE_SPAN * float(np.median(steps)) / math.sqrt(12) if steps else 0.0


def _first_block(image: np.ndarray) -> int | None:
    """The column at which the first whole block begins; None where there are none."""
    apart = np.abs(np.diff(image, axis=1)).mean(0)
    whole = len(apart) // BLOCK * BLOCK
    by_place = apart[:whole].reshape(-1, BLOCK).mean(0)
    edge = int(by_place.argmax())
    if by_place[edge] <= EDGES * np.sort(by_place)[-2]:
        return None
    return (edge + 1) % BLOCK
