"""What programs write into images: lines of text, and bars with data.

Letters are drawn in one grey at an end of the range of the image, in strokes of a part
of their height, with sharp edges, and stand on lines. Beads at the end of the range are
filled, and their rims fade. A bar with data has one grey, and fills the rows at the top
or bottom: the image ends there, and beads are cut as by its border.
"""

import math

import numpy as np
from scipy import ndimage

EXTREME = 0.4  # of the way to the median: that near to an end of the range is a letter
SMALLEST, LARGEST = 6, 0.125  # px; of the height of the image: heights of letters
WIDEST = 2.0  # heights
STROKE = 0.36  # of the height, at most
FILLED = (0.12, 0.85)  # of the box of a letter
SHARP = 0.4  # of that way, the step from its pixels to most that lie beside
BESIDE = (1.5, 3.0)  # px from its edge
LETTERS = 3  # of a line, at least
ALIGNED = (0.12, 1.5)  # of the height; px: how far tops or bottoms are apart
GAP = (-0.2, 0.9)  # of the height, between letters of a line
ON_LINES = 0.5  # of all letters, at least
ALIKE = 1.2  # widths within this factor are of equal shells in a row
MARGIN = 0.3  # of the height of a line, around it
MOST = 20_000  # things that may be letters: a texture of more holds no text
BAR = (12, 0.25)  # px; of the height of the image: heights of bars
ONE_GREY, SAME = 0.35, 0.02  # of the pixels of each row of a bar; of the range
FRAME, BEYOND = 2, 12  # rows at the border that may be of another; beside the bar
OTHERS = 0.2  # of the pixels of those, at most, have that grey
LARGER = 1.5  # times as high as a line: such a bead lies under it
ROW, ONE_SIZE = 0.3, 0.1  # of the box of a line, that discs whose log diameters differ
# by this standard deviation at most cover where they are a row of rings and no text

SAMPLE = 512  # pixels a side that tell the median

ALL_AROUND = np.ones((3, 3), bool)


def without_bars(
    image: np.ndarray, missing: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """The image as if it ended at its bars, and where those are.

    Args:
      image: [H, W], without gaps.
      missing: bool[H, W], where it had some.

    Returns:
      The image, the row next to a bar in place of each of its rows, and bool[H, W];
      the image itself and None where it has no bar.
    """
    known = np.ones(image.shape, bool) if missing is None else ~missing
    top, bottom = (_bar(image[::step], known[::step]) for step in (1, -1))
    if not top and not bottom:
        return image, None
    rows = np.arange(len(image))
    inner = np.clip(rows, top, len(image) - 1 - bottom)
    return image[inner], np.broadcast_to((inner != rows)[:, None], image.shape)


def lines_of_text(image: np.ndarray) -> np.ndarray:
    """The lines of text in an image.

    Args:
      image: [H, W], without gaps and bars.

    Returns:
      i64[N, 4], top, bottom, left and right of each.
    """
    step = math.ceil(math.sqrt(image.size) / SAMPLE)
    background = float(np.median(image[::step, ::step]))
    found = []
    for end in (float(image.max()), float(image.min())):
        if end != background:
            found += _lines(_letters(image, end, background), image.shape)
    return np.array(found, int).reshape(-1, 4)


def written(
    boxes: np.ndarray, y: np.ndarray, x: np.ndarray, diameter: np.ndarray
) -> np.ndarray:
    """Which discs are part of what is written: bool[N].

    Discs of one size that fill a line are beads: their rims stand in rows like letters.

    Args:
      boxes: of `lines_of_text`.
      y, x, diameter: f[N], px of the image.
    """
    found = np.zeros(len(y), bool)
    for top, bottom, left, right in boxes.tolist():
        inside = (y >= top) & (y < bottom) & (x >= left) & (x < right)
        inside &= diameter <= LARGER * (bottom - top)
        if not _is_row(diameter[inside], (bottom - top) * (right - left)):
            found |= inside
    return found


def _is_row(diameter: np.ndarray, area: int) -> bool:
    """Whether discs of one size fill the box of a line of this area."""
    if len(diameter) < 2 or np.log(diameter).std() > ONE_SIZE:
        return False
    return bool(np.pi / 4 * np.square(diameter).sum() >= ROW * area)


def _letters(image: np.ndarray, end: float, background: float) -> np.ndarray:
    """Boxes of what may be letters at an end of the range, left to right: i64[N, 4].

    Args:
      image: [H, W].
      end: of the range.
      background: what most of the image is like.
    """
    least = end - EXTREME * (end - background)
    extreme = image >= least if end > background else image <= least
    labels, count = ndimage.label(extreme, ALL_AROUND)
    if not 0 < count <= MOST:
        return np.zeros((0, 4), int)
    boxes = np.array(
        [(y.start, y.stop, x.start, x.stop) for y, x in ndimage.find_objects(labels)]
    )
    height, width = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    filled = np.bincount(labels[extreme])[1:] / (height * width)
    thin = (filled <= FILLED[1]) | (width <= STROKE * height)
    good = (height >= SMALLEST) & (height <= LARGEST * len(image)) & thin
    good &= (width <= WIDEST * height) & (filled >= FILLED[0])
    for i in np.flatnonzero(good):
        good[i] = _is_letter(image, labels, i + 1, boxes[i], end - background)
    return boxes[good][np.argsort(boxes[good, 2], kind="stable")]


def _is_letter(image: np.ndarray, labels: np.ndarray, label: int, box, span) -> bool:
    """Whether a region is made of strokes with sharp edges."""
    reach = int(BESIDE[1])
    top, left = max(box[0] - reach, 0), max(box[2] - reach, 0)
    window = np.s_[top : box[1] + reach, left : box[3] + reach]
    own = labels[window] == label
    widest = 2 * ndimage.distance_transform_edt(np.pad(own, 1)).max() - 1
    if widest > STROKE * (box[1] - box[0]):
        return False
    off = ndimage.distance_transform_edt(~own)
    pixels = image[window].astype(float)
    step = np.median(pixels[own]) - pixels[(off > BESIDE[0]) & (off < BESIDE[1])]
    return len(step) > 0 and bool(np.percentile(step / span, 25) >= SHARP)


def _lines(letters: np.ndarray, shape: tuple[int, int]) -> list[list[int]]:
    """Boxes of the lines that letters stand on, with a margin.

    None where most stand on no line: those are parts of something else.
    """
    found, left, count = [], list(letters), 0
    while left:
        line, others = [left[0]], []
        for box in left[1:]:
            (line if _goes_on(line[-1], box) else others).append(box)
        left = others
        tops, bottoms, lefts, rights = np.array(line).T
        widths = rights - lefts
        if len(line) < LETTERS or widths.max() <= ALIKE * widths.min():
            continue
        count += len(line)
        margin = int(MARGIN * (bottoms - tops).max()) + 1
        spans = zip((tops, lefts), (bottoms, rights), shape, strict=True)
        for first, last, most in spans:
            found.append(max(first.min() - margin, 0))
            found.append(min(last.max() + margin, most))
    enough = count >= ON_LINES * len(letters)
    return np.reshape(found, (-1, 4)).tolist() if enough else []


def _goes_on(last: np.ndarray, box: np.ndarray) -> bool:
    """Whether a letter follows another on its line."""
    height = max(last[1] - last[0], box[1] - box[0])
    apart = np.abs(last[:2] - box[:2]).min()
    gap = (box[2] - last[3]) / height
    return apart <= max(ALIGNED[0] * height, ALIGNED[1]) and GAP[0] <= gap <= GAP[1]


def _bar(image: np.ndarray, known: np.ndarray) -> int:
    """Rows of a bar that begins with the first one; 0: there is none."""
    most = int(BAR[1] * len(image))
    part = slice(FRAME, most + BEYOND)
    rows, known = image[part].astype(float), known[part]
    span = float(image.max()) - float(image.min())
    if most <= BAR[0] or span == 0 or not known[0].any():
        return 0
    same = SAME * span
    steps, count = np.unique(np.rint(rows[0, known[0]] / same), return_counts=True)
    one = np.abs(rows - steps[count.argmax()] * same) <= same
    share = (one & known).sum(1) / np.maximum(known.sum(1), 1)
    ends = np.flatnonzero(share < ONE_GREY)
    if not len(ends) or not BAR[0] <= ends[0] + FRAME <= most:
        return 0
    beside = share[ends[0] : ends[0] + BEYOND].max()
    return int(ends[0]) + FRAME if beside <= OTHERS else 0
