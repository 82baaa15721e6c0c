"""What is in the picture but is no bead: debris, dust, scratches, bubbles, bars."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_LETTERING = (
    *("bar", "bar", "bar", "a", "b", "c", "(a)", "(b)", "(e)", "A", "B", "I", "II"),
    *("V", "200 nm", "500 nm", "50 nm", "10 um", "100um", "1 um", "5.0kV x20.0k"),
)

# Three by five pixels a glyph, rows from the top, one bit a column.
_GLYPHS = {
    "0": "75557", "1": "26227", "2": "71747", "3": "71717", "4": "55711",
    "5": "74717", "6": "74757", "7": "71122", "8": "75757", "9": "75717",
    "k": "45655", "V": "55552", "x": "00525", "u": "00557", "n": "00655",
    "m": "00775", ".": "00002", " ": "00000", "W": "55575", "D": "65556",
    "=": "07070",
}  # fmt: skip


def _disc(size: int, y: float, x: float, extent: float):
    top, left = max(int(y - extent), 0), max(int(x - extent), 0)
    bottom, right = min(int(y + extent) + 2, size), min(int(x + extent) + 2, size)
    if top >= bottom or left >= right:
        return None
    dy = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y)
    dx = np.arange(left, right, dtype=np.float32)[None] - np.float32(x)
    return (slice(top, bottom), slice(left, right)), np.sqrt(dy * dy + dx * dx)


def _soft(distance: np.ndarray) -> np.ndarray:
    return np.clip(0.5 - distance, 0, 1)


def add_bubbles(signal: np.ndarray, rng: np.random.Generator, radius: float) -> None:
    """Air under the cover slip: far larger than a bead, with a thick black rim."""
    size = len(signal)
    for _ in range(int(rng.integers(1, 3))):
        large = radius * rng.uniform(2.5, 4.5)
        y, x = rng.uniform(-0.2 * size, 1.2 * size, 2)
        rim = large * rng.uniform(0.06, 0.15)
        if drawn := _disc(size, y, x, large + 4 * rim):
            box, distance = drawn
            ring = np.exp(-0.5 * ((distance - large) / (0.6 * rim)) ** 2)
            signal[box] *= 1 - rng.uniform(0.5, 0.9) * ring


def add_dust(signal: np.ndarray, rng: np.random.Generator, radius: float) -> None:
    """Dust far from focus, on the glass or the sensor: faint wide spots and rings."""
    size = len(signal)
    for _ in range(int(rng.integers(1, 6))):
        wide = radius * rng.uniform(0.8, 2.5) + 2
        strength = rng.uniform(0.02, 0.08)
        if drawn := _disc(size, *rng.uniform(0, size, 2), 2.2 * wide):
            box, distance = drawn
            spot = np.exp(-0.5 * (distance / (0.6 * wide)) ** 2)
            if rng.random() < 0.5:
                spot *= 1.5 * np.cos(distance * (4.5 / wide))
            signal[box] *= 1 - strength * spot


def add_debris(
    signal: np.ndarray,
    rng: np.random.Generator,
    radius: float,
    dark: bool,
    largest: float,
) -> None:
    """Irregular specks, well below the size of a bead, unlike the background.

    They are made of discs of at most `largest` px radius.
    """
    size = len(signal)
    change = rng.uniform(0.08, 0.4) * (1 if dark or rng.random() < 0.2 else -1)
    for _ in range(int(rng.integers(3, 30))):
        y, x = rng.uniform(0, size, 2)
        own = change * rng.uniform(0.3, 1)
        core = min(max(0.6, radius * rng.uniform(0.05, 0.2)), largest)
        for _ in range(int(rng.integers(1, 4))):
            if drawn := _disc(size, y, x, core + 1.5):
                box, distance = drawn
                signal[box] += own * _soft(distance - core)
            y, x = np.array([y, x]) + rng.normal(0, 1.2 * core, 2)


def _ragged(box: tuple, y: float, x: float, distance, core: float, rng) -> np.ndarray:
    """The distances of a disc whose edge is notched, so that it is no small bead."""
    dy = np.arange(box[0].start, box[0].stop, dtype=np.float32)[:, None] - np.float32(y)
    dx = np.arange(box[1].start, box[1].stop, dtype=np.float32)[None] - np.float32(x)
    lobes, turn = np.float32(rng.integers(2, 6)), np.float32(rng.uniform(0, 6.3))
    notches = np.cos(lobes * np.arctan2(dy, dx) + turn)
    return distance + np.float32(core * rng.uniform(0.2, 0.6)) * notches


def add_dirt(
    signal: np.ndarray, rng: np.random.Generator, radius: float, dark: bool
) -> None:
    """Fibres and long ragged crumbs with many times the contrast of a bead.

    They are never round and never as thick as a bead: a lone disc is a bead.
    """
    size = len(signal)
    level = float(np.median(signal))
    change = rng.uniform(1, 5) if dark else -rng.uniform(0.3, 0.95) * level
    thickest = 0.35 * radius + 0.8
    for _ in range(int(rng.integers(1, 5))):
        y, x = rng.uniform(0, size, 2)
        turn = rng.uniform(0, 2 * np.pi)
        core = rng.uniform(0.8, thickest)
        bend = rng.normal(0, 0.25)
        for _ in range(int(rng.integers(8, 60))):
            if drawn := _disc(size, y, x, 1.6 * core + 1.5):
                box, distance = drawn
                part = signal[box]
                own = level + change * rng.uniform(0.5, 1)
                cover = _soft(_ragged(box, y, x, distance, core, rng) - core)
                part += cover * (own - part)
            turn += bend + rng.normal(0, 0.4)
            y, x = y + core * np.sin(turn), x + core * np.cos(turn)
            core = min(max(core * np.exp(rng.normal(0, 0.2)), 0.8), thickest)


def add_rings(signal: np.ndarray, rng: np.random.Generator, radius: float) -> None:
    """Dust far from focus between and in large beads: spots with rings around them."""
    size = len(signal)
    for _ in range(int(rng.integers(1, 12))):
        wide = radius * rng.uniform(0.06, 0.4) + 1
        if drawn := _disc(size, *rng.uniform(0, size, 2), 2.5 * wide):
            box, distance = drawn
            wave = np.cos(distance * (rng.uniform(3, 7) / wide) + rng.uniform(0, 6))
            fade = np.exp(-0.5 * (distance / wide) ** 2)
            signal[box] *= 1 + rng.uniform(0.03, 0.25) * wave * fade


def add_specks(signal: np.ndarray, rng: np.random.Generator, radius: float) -> None:
    """Dark dust and crystals on and in large beads, single and in heaps."""
    size = len(signal)
    for _ in range(int(rng.integers(1, 10))):
        y, x = rng.uniform(0, size, 2)
        spread = radius * rng.uniform(0.02, 0.5)
        for _ in range(int(rng.integers(1, 25))):
            core = radius * rng.uniform(0.005, 0.035) + 0.3
            at = np.array([y, x]) + rng.normal(0, spread, 2)
            if drawn := _disc(size, *at, core + 1.5):
                box, distance = drawn
                signal[box] *= 1 - rng.uniform(0.1, 0.8) * _soft(distance - core)


def add_scratches(signal: np.ndarray, rng: np.random.Generator) -> None:
    """Thin, slightly bent lines, brighter or darker than what they cross."""
    size = len(signal)
    at = np.arange(size, dtype=np.float32)
    for _ in range(int(rng.integers(1, 4))):
        turn = rng.uniform(0, np.pi)
        y, x = rng.uniform(0, size, 2)
        cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        along = (at - y)[:, None] * sin + (at - x)[None] * cos
        across = (at - y)[:, None] * cos - (at - x)[None] * sin
        across += along * along * np.float32(rng.normal(0, 0.1) / size)
        line = _soft(np.abs(across) - np.float32(rng.uniform(0.1, 1.0)))
        line *= np.abs(along) < rng.uniform(0.1, 1.0) * size
        line *= np.float32(rng.uniform(0.05, 0.3) * rng.choice([-1, 1]))
        signal += line


def write_text(text: str, scale: int) -> np.ndarray:
    """Small capitals on a grid: bool[5 * scale, 4 * scale * len(text)]."""
    rows = [
        [[int(row) >> bit & 1 for bit in (2, 1, 0)] + [0] for row in _GLYPHS[letter]]
        for letter in text
    ]
    small = np.concatenate([np.array(glyph, bool) for glyph in rows], axis=1)
    return small.repeat(scale, 0).repeat(scale, 1)


def _stamp(image: np.ndarray, shape: np.ndarray, top: int, left: int, value) -> None:
    place = image[max(top, 0) : top + shape.shape[0], left : left + shape.shape[1]]
    place[shape[: place.shape[0], : place.shape[1]]] = value


def _bar_length(size: int, pixel_size: float) -> tuple[float, int]:
    best = 0.25 * size * pixel_size
    decade = 10.0 ** np.floor(np.log10(best))
    length = max(k * decade for k in (1, 2, 5) if k * decade <= best)
    return length, round(length / pixel_size)


def burn_scale_bar(
    image: np.ndarray, rng: np.random.Generator, pixel_size: float, white: int
) -> None:
    """A bar of a round length with its text in a corner, black or white, no blur."""
    size = len(image)
    length, pixels = _bar_length(size, pixel_size)
    text = f"{round(1000 * length)} nm" if length < 1 else f"{round(length)} um"
    scale = int(rng.integers(1, 3))
    words = write_text(text, scale)
    margin, thick = int(rng.integers(4, 14)), int(rng.integers(1, 5))
    left = margin if rng.random() < 0.4 else size - margin - max(pixels, words.shape[1])
    top = size - margin - thick if rng.random() < 0.85 else margin + 6 * scale
    near = image[top - 4 : top + 4, left : left + pixels]
    bright = float(np.mean(near)) < 0.5 * white if near.size else True
    value = white if bright else 0
    image[top : top + thick, left : left + pixels] = value
    if rng.random() < 0.75:
        middle = left + max(0, (pixels - words.shape[1]) // 2)
        _stamp(image, words, top - 6 * scale - 1, middle, value)


def add_lettering(
    image: np.ndarray, rng: np.random.Generator, white: int
) -> np.ndarray | None:
    """Letters, numbers and a bar, large as in the figure of a paper, some on a plate.

    Returns:
      bool[H, W], what the plates hide, or None without one.
    """
    size, hidden = len(image), None
    for _ in range(int(rng.integers(1, 3))):
        text = str(rng.choice(_LETTERING))
        if text == "bar":
            thick, long = size * rng.uniform((0.004, 0.1), (0.02, 0.4))
            shape = np.ones((math.ceil(thick), math.ceil(long)), bool)
        else:
            shape = _letters(text, max(8, round(size * rng.uniform(0.04, 0.12))))
        room = np.array(image.shape) - shape.shape
        edge = rng.uniform(0.005, 0.06, 2) * size
        at = np.where(rng.random(2) < 0.5, edge, room - edge)
        if rng.random() < 0.15:
            at = rng.random(2) * room
        top, left = np.clip(at, 0, np.maximum(room - 1, 0)).astype(int)
        ink = white if rng.random() < 0.6 else 0
        if rng.random() < 0.3:
            pad = max(1, round(0.01 * size))
            plate = (
                slice(max(top - pad, 0), top + shape.shape[0] + pad),
                slice(max(left - pad, 0), left + shape.shape[1] + pad),
            )
            image[plate] = white - ink
            hidden = np.zeros(image.shape, bool) if hidden is None else hidden
            hidden[plate] = True
        _stamp(image, shape, top, left, ink)
    return hidden


def _letters(text: str, height: int) -> np.ndarray:
    font = ImageFont.load_default(height)
    left, top, right, bottom = font.getbbox(text)
    page = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2))
    ImageDraw.Draw(page).text((1 - left, 1 - top), text, 255, font)
    return np.asarray(page) > 127


def burn_data_bar(
    image: np.ndarray,
    rng: np.random.Generator,
    height: int,
    pixel_size: float,
    white: int,
) -> None:
    """The strip below an electron micrograph, from row `height` on."""
    background, ink = (0, white) if rng.random() < 0.7 else (white, 0)
    strip = image[height:]
    strip[:] = background
    length, pixels = _bar_length(len(image), pixel_size)
    unit = f"{round(1000 * length)}nm" if length < 1 else f"{round(length)}um"
    text = (
        f"{rng.integers(1, 30)}.0kV {rng.uniform(3, 12):.1f}mm x{rng.integers(1, 90)}k"
    )
    top = max(1, (len(strip) - 5) // 2)
    _stamp(strip, write_text(text, 1), top, 5, ink)
    right = len(image) - 6
    _stamp(strip, write_text(unit, 1), top, right - 4 * len(unit) - pixels - 3, ink)
    strip[top + 2 : top + 4, right - pixels : right] = ink
