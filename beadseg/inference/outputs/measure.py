"""Measurements of beads and of images, from labels, pixels and probabilities.

Everything is a sum over pixels, added up in bands of rows: an image larger than memory
gives the same numbers as one in memory, up to the rounding of float64.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from beadseg.data.masks.beads import is_faint
from beadseg.inference.outputs.background import Background
from beadseg.tables import Table

BAND = 512  # rows that are added at once
# How beads count that the border cuts: see `edge_weights`.
EDGES = ("corrected", "all", "none", "half")
SIDES = ("top", "bottom", "left", "right")


class Measured(NamedTuple):
    """The beads of one image and the image itself."""

    table: Table
    image: dict[str, Any]  # numbers; None where unknown
    boxes: np.ndarray  # i64[N, 4], first and last + 1 row, first and last + 1 column
    noise: np.ndarray  # f64[N], standard deviation of the background around each


def measure(
    labels: np.ndarray,
    image: np.ndarray,
    probability: np.ndarray,
    *,
    threshold: float,
    pixel_size: float | None = None,
    region: np.ndarray | None = None,
    edge: str = "corrected",
) -> Measured:
    """Measures the beads of an image.

    Args:
      labels: i32[H, W], 1..N. A number without a pixel gives no row.
      image: [H, W], as the file has it.
      probability: f32[H, W].
      threshold: of the probability.
      pixel_size: um.
      region, edge: which beads count, see `Measurer`.

    Returns:
      The table of `Measurer.finish`, and what is known of the image.
    """
    count = int(labels.max(initial=0))
    measurer = Measurer(labels.shape, count, threshold, None, region, edge)
    for top in range(0, labels.shape[0], BAND):
        rows = slice(top, top + BAND)
        measurer.add(labels[rows], image[rows], probability[rows])
    return measurer.finish(pixel_size)


class Measurer:
    """Adds up bands of rows, from the top."""

    def __init__(
        self,
        shape: tuple[int, int],
        count: int,
        threshold: float,
        missing: np.ndarray | None = None,
        region: np.ndarray | None = None,
        edge: str = "corrected",
        faintest: float | None = None,
        smallest: float = 0.0,
    ):
        """For an image of `shape` [H, W] with labels 1..`count`.

        Args:
          missing: bool[H, W], where it has no data.
          region: bool[H, W], where the centre of a bead must lie for it to count.
          edge: of `EDGES`, see `edge_weights`.
          faintest: relative contrast that beads reach; what has far less does not
            count, `faint` says how many; None: all count.
          smallest: px across the smallest beads; smaller regions must differ the more,
            but for those that the border cuts.
        """
        self._region, self._edge = region, edge
        self._faintest, self._smallest, self.faint = faintest, smallest, 0
        self._pixels = math.prod(shape)
        if missing is not None:
            self._pixels -= int(missing.sum())
        if region is not None:
            seen = region if missing is None else region & ~missing
            self._pixels = int(seen.sum())
        self._shape, self._count = shape, count
        self._done = 0
        self._above: np.ndarray | None = None  # the last row before
        zeros = np.zeros(count + 1)
        self._sums = {
            name: zeros.copy()
            for name in ("area", "y", "x", "yy", "xx", "xy", "value", "probability")
        }
        self._means: list[str] = []  # of the maps that were added
        self._crossings = zeros.copy()
        self._largest = np.full(count + 1, -np.inf)
        far = np.iinfo(np.int64).max
        self._boxes = np.tile(np.array([far, -1, far, -1]), (count + 1, 1))
        self._touches = np.zeros((count + 1, len(SIDES)), bool)
        self._around = Background(shape, threshold)

    def add(
        self,
        labels: np.ndarray,
        image: np.ndarray,
        probability: np.ndarray,
        maps: dict[str, np.ndarray] | None = None,
    ) -> None:
        """Adds the next rows: i32, numbers and f32 [h, W].

        `maps` are the same each time, such as the uncertainty, f32[h, W]; their means
        become columns.
        """
        self._means = list(maps or {})
        top = self._done
        self._done += labels.shape[0]
        starts, y, first, length = _runs(labels)
        beads = labels.ravel()[starts]
        inside = beads > 0
        beads, y = beads[inside], y[inside] + top
        first, length = first[inside], length[inside]
        self._box(beads, y, first, first + length)
        # Of a run of n pixels about its middle: sums of x and x^2 in closed form.
        n, y = length.astype(np.float64), y.astype(np.float64)
        x = first + (n - 1) / 2
        totals = {
            "area": n,
            "y": n * y,
            "x": n * x,
            "yy": n * y * y,
            "xx": n * (x * x + (n * n - 1) / 12),
            "xy": n * x * y,
            "value": _run_sums(image, starts)[inside],
            "probability": _run_sums(probability, starts)[inside],
        }
        for name, values in (maps or {}).items():
            self._sums.setdefault(name, np.zeros(self._count + 1))
            totals[name] = _run_sums(values, starts)[inside]
        for name, values in totals.items():
            self._sums[name] += np.bincount(beads, values, self._count + 1)
        largest = np.maximum.reduceat(image.ravel(), starts)[inside]
        np.maximum.at(self._largest, beads, largest.astype(np.float64))
        self._cross(labels)
        self._touch(labels, top)
        self._around.add(labels, image, probability)

    def finish(self, pixel_size: float | None = None) -> Measured:
        """The measurements, once all rows are added: one row per bead.

        `beadseg.inference.outputs.columns` says what the columns are; a map's is its
        mean. The perimeter in circularity is Crofton's in four directions: for discs
        from 5 px on circularity is 1 in the mean, up to 1.1 in single ones.
        """
        area = self._sums["area"]
        here = np.flatnonzero(area > 0)
        here = here[here > 0]
        if self._region is not None:
            at = (self._sums[axis][here] / area[here] for axis in "yx")
            here = here[self._region[tuple(np.rint(c).astype(int) for c in at)]]
        if self._faintest is not None:
            here = here[~self._is_faint(here)]
        n = area[here]
        mean = {k: v[here] / n for k, v in self._sums.items() if k != "area"}
        major, minor = _axes(mean)
        with np.errstate(divide="ignore"):
            perimeter = math.pi / 8 * self._crossings[here]
            circularity = 4 * math.pi * n / np.square(perimeter)
        diameter = 2 * np.sqrt(n / math.pi)
        whole = ~self._touches[here].any(1)
        background, noise = self._around.around(mean["y"], mean["x"], diameter)
        table: Table = {
            "label": here.astype(np.int64),
            "y": mean["y"],
            "x": mean["x"],
            "area_px": n.astype(np.int64),
            "diameter_px": diameter,
            "major_axis_px": major,
            "minor_axis_px": minor,
            "circularity": circularity,
            "mean_intensity": mean["value"],
            "max_intensity": self._largest[here],
            "background": background,
            "mean_probability": mean["probability"],
        }
        table |= {name: mean[name] for name in self._means}
        table["on_border"] = ~whole
        table["edge_weight"] = edge_weights(
            *(self._touches[here], self._boxes[here], self._shape, self._edge),
            *(np.stack([mean["y"], mean["x"]], 1), self._region),
        )
        if pixel_size is not None:
            table |= {f"{axis}_um": table[axis] * pixel_size for axis in "yx"}
            table["area_um2"] = n * pixel_size**2
            for name in ("diameter", "major_axis", "minor_axis"):
                table[f"{name}_um"] = table[f"{name}_px"] * pixel_size
        about = self._image(table, pixel_size)
        if self._region is not None:
            about["region_area_px"] = self._pixels
        return Measured(table, about, self._boxes[here], noise)

    def _image(self, table: Table, pixel_size: float | None) -> dict[str, Any]:
        pixels, weights = self._pixels, table["edge_weight"]
        found, corrected = len(weights), float(weights.sum())
        density, size = 1e6 * corrected / pixels, pixel_size
        median = spread = mean = None
        if found:
            inside = ~table["on_border"]
            diameters = table["diameter_px"][inside if inside.any() else slice(None)]
            median = float(np.median(diameters))
            spread = float(np.subtract(*np.percentile(diameters, (75, 25))))
            mean = float(table["mean_probability"].mean())
        return {
            "height": self._shape[0],
            "width": self._shape[1],
            "pixel_size_um": size,
            "count": found if self._edge == "corrected" else int(corrected),
            "found": found,
            "edge_corrected_count": corrected,
            "density_per_mpx": density,
            "density_per_mm2": None if size is None else density / size**2,
            "coverage": float(table["area_px"].sum()) / pixels,
            "median_diameter_px": median,
            "iqr_diameter_px": spread,
            "median_diameter_um": median * size if found and size else None,
            "iqr_diameter_um": spread * size if found and size else None,
            "mean_probability": mean,
        }

    def _box(self, beads, y, left, right) -> None:
        np.minimum.at(self._boxes[:, 0], beads, y)
        np.maximum.at(self._boxes[:, 1], beads, y + 1)
        np.minimum.at(self._boxes[:, 2], beads, left)
        np.maximum.at(self._boxes[:, 3], beads, right)

    def _cross(self, labels: np.ndarray) -> None:
        """Counts where lines of four directions cross outlines, by their spacing."""
        last = self._done == self._shape[0]
        above = np.zeros_like(labels[:1]) if self._above is None else self._above
        below = np.zeros_like(labels[: int(last)])
        self._above = labels[-1:].copy()
        framed = np.pad(np.concatenate((above, labels, below)), ((0, 0), (1, 1)))
        pairs = (
            (framed[1:, :-1], framed[1:, 1:], 1.0),
            (framed[:-1], framed[1:], 1.0),
            (framed[:-1, :-1], framed[1:, 1:], math.sqrt(0.5)),
            (framed[:-1, 1:], framed[1:, :-1], math.sqrt(0.5)),
        )
        for one, other, spacing in pairs:
            at = np.flatnonzero(one != other)
            for side in (one, other):
                found = np.bincount(side.ravel()[at], minlength=self._count + 1)
                self._crossings += spacing * found

    def _touch(self, labels: np.ndarray, top: int) -> None:
        if top == 0:
            self._touches[labels[0], 0] = True
        if self._done == self._shape[0]:
            self._touches[labels[-1], 1] = True
        self._touches[labels[:, 0], 2] = True
        self._touches[labels[:, -1], 3] = True

    def _is_faint(self, here: np.ndarray) -> np.ndarray:
        area = self._sums["area"][here]
        mean = {name: self._sums[name][here] / area for name in ("y", "x", "value")}
        across = 2 * np.sqrt(area / math.pi)
        around, noise = self._around.around(mean["y"], mean["x"], across)
        filled = np.ones(len(here))
        if self._smallest:
            filled = np.minimum((across / self._smallest) ** 2, 1)
            filled[self._touches[here].any(1)] = 1
        found = is_faint(mean["value"], around, noise, self._faintest, filled)
        self.faint = int(found.sum())
        return found


def keep_only(labels: np.ndarray, kept: np.ndarray) -> None:
    """Takes all beads but some out of labels i32[H, W], in place."""
    for top in range(0, labels.shape[0], BAND):
        rows = slice(top, min(top + BAND, labels.shape[0]))
        part = labels[rows]
        labels[rows] = np.where(np.isin(part, kept), part, 0)


def edge_weights(
    touches: np.ndarray,
    boxes: np.ndarray,
    shape: tuple[int, int],
    edge: str = "corrected",
    centres: np.ndarray | None = None,
    region: np.ndarray | None = None,
) -> np.ndarray:
    """How much each bead counts, f64[N].

    "all" counts each, "none" those that no side cuts, "half" those that neither the top
    nor the left side cuts (the frame of Gundersen 1977, J. Microsc. 111, 219).

    "corrected" counts whole beads for those that are cut: each by the reciprocal of the
    share of places in which a bead of its height and width lies whole in the image
    (Miles 1978, J. Microsc. 113, 257; Lantuéjoul 1980, Microsc. Acta Suppl. 4, 266).
    That is W H / ((W - w) (H - h)), where a bead next to the border may be cut: its box
    is taken 1 px larger. In a region the places are those with its centre inside.

    Args:
      touches: bool[N, 4], whether it has pixels at each of `SIDES`.
      boxes: i64[N, 4], first and last + 1 row, first and last + 1 column.
      shape: [H, W] of the image.
      edge: of `EDGES`.
      centres: f64[N, 2], y and x, for a region.
      region: bool[H, W]; None: everywhere.
    """
    whole = ~touches.any(1)
    if edge == "all":
        return np.ones(len(touches))
    if edge == "none":
        return whole.astype(np.float64)
    if edge == "half":
        return (~touches[:, [0, 2]].any(1)).astype(np.float64)
    top, bottom, left, right = boxes[whole].T
    (height, width), total = shape, math.prod(shape)
    places = (height - 1 - (bottom - top)) * (width - 1 - (right - left))
    if region is not None:
        sums = np.zeros((height + 1, width + 1), np.uint32)  # differences wrap rightly
        np.cumsum(region, 0, out=sums[1:, 1:])
        np.cumsum(sums, 1, out=sums)
        y, x = np.rint(centres[whole]).astype(int).T
        first, last = y - top + 1, y + height - bottom
        start, end = x - left + 1, x + width - right
        places = sums[last, end] - sums[first, end] - sums[last, start]
        places, total = places + sums[first, start], sums[-1, -1]
    weights = np.zeros(len(touches))
    weights[whole] = total / places
    return weights


def _runs(labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Runs of equal labels along rows: start in the raveled array, y, x, length."""
    begins = np.ones(labels.shape, bool)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=begins[:, 1:])
    starts = np.flatnonzero(begins)
    length = np.diff(starts, append=labels.size)
    y, x = np.divmod(starts, labels.shape[1])
    return starts, y, x, length


def _run_sums(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.add.reduceat(values.ravel(), starts, dtype=np.float64)


def _axes(mean: Table) -> tuple[np.ndarray, np.ndarray]:
    """Axes of the ellipses with the second moments of the pixels, which are squares."""
    yy = mean["yy"] - mean["y"] ** 2 + 1 / 12
    xx = mean["xx"] - mean["x"] ** 2 + 1 / 12
    xy = mean["xy"] - mean["x"] * mean["y"]
    half, root = (yy + xx) / 2, np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
    major, minor = half + root, np.maximum(half - root, 0.0)
    return 4 * np.sqrt(major), 4 * np.sqrt(minor)
