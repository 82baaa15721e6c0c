"""Whether a mask lies on the beads of an image: evidence from a few thousand pixels.

Beads are brighter or darker than the ring around them, or have steep edges. A mask that
fits shows that at its own place and nowhere else: the same pixels moved about the image
tell what chance gives, and the fit is how many standard deviations beyond. So neither
the light nor the noise nor how dense the beads are needs to be known.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from beadseg.data.scaling import diagonal_noise, stretch

FITS = 8.0  # deviations from which a mask surely fits
DOUBTFUL = 5.0  # below, other places and other images are looked at
_CHANCE = 3.2  # below, it lies as if by chance
_FAINT = 0.2  # of the strong contrasts of the image: as faint as chance makes it
_NOTHING = 0.05  # likewise, as faint as true beads that score so little never are
_TURNED = 6.0  # deviations from which a turned mask is believed
_GAIN = 4.0  # by which, and twice, another place must fit better
_VISIBLE = 8.0  # standard deviations of the noise, the strongest contrasts at least
_ROOM = 6.0  # bead diameters that the shorter side of the image holds at least
_FEWEST, _FEW = 3, 6  # beads, of fewer of which nothing, and little, can be said
_PIXELS = 3000  # looked at, of each kind
_MOVES, _MORE_MOVES = 24, 128  # by which chance is measured
_ACROSS = 24  # px of a bead at least, after larger ones are reduced
_NEAREST, _FARTHEST = 0.5, 3.0  # bead diameters between which a shift is looked for

Points = tuple[np.ndarray, np.ndarray]  # rows, columns


class Probes(NamedTuple):
    """Pixels of a mask: inside its beads, around them and on their outlines."""

    inside: Points
    around: Points
    outline: Points
    shape: tuple[int, int]  # of the reduced image
    step: int  # by which it is reduced
    diameter: float  # px of the reduced image


class Light(NamedTuple):
    """An image as probes see it."""

    values: np.ndarray  # f32[h, w], above what is around, share of the range
    height: np.ndarray  # f32[h, w], its size
    slope: np.ndarray  # f32[h, w]
    noise: float  # standard deviation, share of the range
    strong: float  # the strongest hundredth of the contrasts, share of the range
    strongest: float  # the strongest few pixels


class Fit(NamedTuple):
    """How a mask lies on an image."""

    score: float  # deviations from chance, of contrast or slope
    contrast: float  # inside against around, in standard deviations of the noise
    strength: float  # the same, in strong contrasts of the image

    def much_better_than(self, other: "Fit") -> bool:
        """Whether the other is surely not the right place."""
        return self.score >= max(2 * other.score, other.score + _GAIN)


class Place(NamedTuple):
    """Another way to lay a mask on its image."""

    words: str
    fit: Fit


def _moved(down: int, right: int) -> Callable:
    return lambda y, x, h, w: ((y + down) % h, (x + right) % w)


TURNS: dict[str, Callable] = {
    "turned by 180 degrees": lambda y, x, h, w: (h - 1 - y, w - 1 - x),
    "mirrored left to right": lambda y, x, h, w: (y, w - 1 - x),
    "mirrored top to bottom": lambda y, x, h, w: (h - 1 - y, x),
    # Of square images alone:
    "turned by 90 degrees clockwise": lambda y, x, h, w: (x, h - 1 - y),
    "turned by 90 degrees counterclockwise": lambda y, x, h, w: (w - 1 - x, y),
    "mirrored along its diagonal": lambda y, x, h, w: (x, y),
    "mirrored along its other diagonal": lambda y, x, h, w: (w - 1 - x, h - 1 - y),
}


def probe(beads: np.ndarray, unknown: np.ndarray, diameter: float) -> Probes | None:
    """Chooses the pixels to look at; None where beads or background are too few.

    Args:
      beads: bool[H, W].
      unknown: bool[H, W], neither bead nor background.
      diameter: px, of the usual bead.
    """
    step = max(1, int(diameter // _ACROSS))
    small = np.ascontiguousarray(beads[::step, ::step]).view(np.uint8)
    across = diameter / step
    reach = int(np.clip(across / 2, 3, 12))
    near = ndimage.maximum_filter(small, 3)
    wide = ndimage.maximum_filter(small, 2 * reach + 3)
    around = (wide > near) & ~unknown[::step, ::step]
    kinds = [_some(kind) for kind in (small > 0, around, near > small)]
    if any(len(rows) < 20 for rows, _ in kinds):
        return None
    return Probes(*kinds, small.shape, step, across)


def look(image: np.ndarray, probes: Probes) -> Light:
    """Prepares an image [H, W] for probes of its size."""
    values, *_ = stretch(image[:: probes.step, :: probes.step])
    noise = diagonal_noise(values)
    smooth = ndimage.gaussian_filter(values, 1.0, truncate=2)
    slope = np.abs(smooth[:, 1:] - smooth[:, :-1])[1:]
    slope = np.pad(slope + np.abs(smooth[1:] - smooth[:-1])[:, 1:], ((1, 0), (1, 0)))
    values -= ndimage.uniform_filter(values, int(max(31, 5 * probes.diameter)))
    height = np.abs(values)
    few = min(20, height.size)
    strongest = float(np.partition(height.ravel(), -few)[-few:].mean())
    strong = float(np.percentile(height.ravel()[::7], 99))
    height = np.minimum(height, strong)
    return Light(values, height, slope, max(noise, 1e-3), strong, strongest)


def fit(probes: Probes, light: Light) -> Fit:
    """How the mask lies on an image of its size."""
    found = _score(probes, light, _here, *_chance(probes, light))
    if found.score >= FITS:
        return found
    return _score(probes, light, _here, *_chance(probes, light, _MORE_MOVES))


def best_turn(probes: Probes, light: Light) -> Place:
    """The turn or mirror image of the mask that fits best."""
    chance = _chance(probes, light)
    turns = list(TURNS.items())
    if probes.shape[0] != probes.shape[1]:
        turns = turns[:3]
    return max(
        (Place(words, _score(probes, light, turn, *chance)) for words, turn in turns),
        key=lambda place: place.fit.score,
    )


def best_shift(probes: Probes, light: Light) -> Place:
    """The shift of the mask, of half a diameter to some, that fits best."""
    chance = _chance(probes, light, _MORE_MOVES)
    stride = max(1, int(probes.diameter / 4))
    reach = int(np.ceil(_FARTHEST * probes.diameter / stride)) * stride
    moves = range(-reach, reach + 1, stride)
    places = (
        (down, right, _score(probes, light, _moved(down, right), *chance))
        for down in moves
        for right in moves
        if np.hypot(down, right) >= _NEAREST * probes.diameter
    )
    down, right, found = max(places, key=lambda place: place[2].score)
    sides = [
        f"{abs(by) * probes.step} px {words[by > 0]}"
        for by, words in ((down, ("up", "down")), (right, ("left", "right")))
        if by
    ]
    return Place(f"moved by {' and '.join(sides)}", found)


def turned(own: Fit, turn: Place) -> bool:
    """Whether a mask is turned or mirrored against its image."""
    return turn.fit.score >= _TURNED and turn.fit.much_better_than(own)


def telling(probes: Probes, beads: int) -> bool:
    """Whether there are beads, and room to move them, enough to tell anything."""
    return beads >= _FEWEST and min(probes.shape) >= _ROOM * probes.diameter


def by_chance(own: Fit, light: Light, beads: int) -> bool:
    """Whether a mask lies on its image as it would on any, though beads can be seen."""
    if beads < _FEW or light.strongest < _VISIBLE * light.noise:
        return False
    if own.score < _CHANCE:
        return own.strength < _FAINT
    return own.score < DOUBTFUL and own.strength < _NOTHING


def _here(y, x, h, w):
    return y, x


def _some(mask: np.ndarray) -> Points:
    """Some of its pixels, evenly."""
    places = np.flatnonzero(mask)
    if len(places) > _PIXELS:
        places = places[np.linspace(0, len(places) - 1, _PIXELS).astype(int)]
    rows, columns = np.unravel_index(places, mask.shape)
    return rows, columns


def _at(probes: Probes, light: Light, place: Callable) -> tuple[float, ...]:
    """Inside against around in light, contrast and slope; slope on outlines."""
    inside, around, outline = (
        rows * probes.shape[1] + columns
        for rows, columns in (
            place(*points, *probes.shape)
            for points in (probes.inside, probes.around, probes.outline)
        )
    )
    differences = [
        values.take(inside).mean(dtype=np.float64)
        - values.take(around).mean(dtype=np.float64)
        for values in (light.values, light.height, light.slope)
    ]
    return *differences, light.slope.take(outline).mean(dtype=np.float64)


def _chance(probes, light, moves: int = _MOVES) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of contrast and slope over places far from its own."""
    height, width = probes.shape
    shares = np.random.default_rng(0).uniform(0.1, 0.9, (moves, 2))
    found = [
        _at(probes, light, _moved(int(a * height), int(b * width))) for a, b in shares
    ]
    return np.mean(found, 0), np.std(found, 0) + 1e-9


def _score(probes, light, place, mean, deviation) -> Fit:
    found = np.array(_at(probes, light, place))
    *differences, slope = (found - mean) / deviation
    return Fit(
        float(max(*np.abs(differences), slope)),
        float(found[0] / light.noise),
        float(abs(found[0]) / max(light.strong, 1e-9)),
    )
