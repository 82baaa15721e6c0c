"""An image looked at on one scale: what networks say there, and the regions in it."""

import copy
from collections.abc import Sequence

import numpy as np

from beadseg.data.images import gaps
from beadseg.data.masks.instances import (
    find_beads_blockwise,
    options_of_range,
    options_of_size,
)
from beadseg.data.scaling import (
    LARGEST_SCALE,
    SMALLEST_SCALE,
    PreparedWindows,
    resample,
    resample_labels,
    scaled_shape,
    unevenness,
)
from beadseg.errors import BeadsegError
from beadseg.inference.networks.tiles import Band, Network, Source, source_of
from beadseg.inference.outputs.measure import BAND, Measurer
from beadseg.inference.pyramid import pyramid
from beadseg.inference.pyramid.compose import Allocate
from beadseg.inference.pyramid.grid import resample_map
from beadseg.inference.pyramid.pyramid import Level, Maps
from beadseg.inference.run import Run

WHOLE = 0.25  # prominence at which bodies far from round stay whole
# Light that is so uneven that it takes most of the span: fine levels are flattened, by
# a Gaussian mean far wider than their beads, and their contrast grows, to this at most.
UNEVEN, GROWS = 1.4, 1.5  # times
FINE, SLOW = 0.5, 40.0  # scale from which on; px of the mean


class Looker:
    """Looks at an image; what was prepared for one scale serves the next.

    Args:
      networks: whose mean counts; sizes and brightness are those of the first.
      spreads: whether their standard deviation is kept.
      image: [H, W], gaps filled.
      threshold: of the probability.
      missing: bool[H, W], where it has no data; None: nowhere.
      least_span: see `beadseg.data.scaling.prepare`.
      allocate: makes the arrays of a level.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        spreads: bool,
        image: np.ndarray,
        threshold: float,
        missing: np.ndarray | None = None,
        least_span: float = 0.0,
        allocate: Allocate = np.zeros,
    ):
        self._networks, self._spreads = networks, spreads
        self._image, self._threshold = image, threshold
        self._least_span, self._allocate = least_span, allocate
        self._lost = None if missing is None else gaps.wide(missing)
        self._prepared: dict[int, tuple[PreparedWindows, PreparedWindows]] = {}
        self._resampled: dict[tuple[int, bool], dict[float, np.ndarray]] = {}

    def __call__(
        self, scale: float, maps: Maps | None = None, whole: bool = False
    ) -> Level:
        """The level of a scale: pixels of it to a pixel of the image.

        Args:
          scale: of the level.
          maps: of `maps` at this scale; None: it looks itself.
          whole: bodies far from round stay whole.
        """
        maps = self.maps([scale])[0] if maps is None else maps
        first = self._networks[0].run
        options = bead_options(first) | ({"prominence": WHOLE} if whole else {})
        shape = maps.probability.shape
        labels = self._allocate(shape, np.int32)
        distance = maps.distance
        count = find_beads_blockwise(
            lambda rows, columns: maps.probability[rows, columns],
            None if distance is None else lambda rows, columns: distance[rows, columns],
            labels,
            self._threshold,
            **options,
        )
        read, _ = self._source(first, scale)
        measurer = Measurer(shape, count, self._threshold)
        for top in range(0, shape[0], BAND):
            rows = slice(top, min(top + BAND, shape[0]))
            probability = maps.probability[rows]
            more = {"sure": (probability >= pyramid.SURE).astype(np.float32)}
            if distance is not None:
                more["distance"] = distance[rows]
            pixels = read(rows.start, rows.stop, 0, shape[1])
            measurer.add(labels[rows], pixels, probability, more)
        measured = measurer.finish()
        regions = measured.table | {"noise": measured.noise}
        return Level(scale, maps, labels, regions, measured.boxes, whole)

    def within(self, part: tuple[slice, slice]) -> "Looker":
        """Looks at these rows and columns of the image, as if they were all of it."""
        other = copy.copy(self)
        other._image = self._image[part]
        other._prepared, other._resampled = {}, {}
        other._lost = None if self._lost is None else self._lost[part]
        other._allocate = np.zeros
        return other

    def source(self, scale: float) -> tuple[Source, tuple[int, int]]:
        """The image as the first network sees it at a scale, and its shape there."""
        return self._source(self._networks[0].run, scale)

    def _source(self, run: Run, scale: float) -> tuple[Source, tuple[int, int]]:
        """The image as a run sees it at a scale, and its shape there."""
        image, least = self._image, self._least_span
        if run.sizes is None or run.flatten_sigma:
            windows = PreparedWindows(image, **run.preparation(scale, least))
            return windows.read, windows.shape
        if id(run) not in self._prepared:
            self._prepared[id(run)] = self._even(run)
        fine = scale >= FINE
        windows = self._prepared[id(run)][fine].at_scale(scale)
        if scale >= 1:
            return windows.read, windows.shape
        known = self._resampled.setdefault((id(run), fine), {})
        if scale not in known:  # each from the one before
            finer = known.get(2 * scale)
            known[scale] = (
                windows.whole() if finer is None else resample(finer, windows.shape)
            )
        return source_of(known[scale]), windows.shape

    def _even(self, run: Run) -> tuple[PreparedWindows, PreparedWindows]:
        """The image for coarse levels, and for fine ones: the same in even light."""
        options = run.preparation(1.0, self._least_span)
        as_it_is = PreparedWindows(self._image, **options)
        light = unevenness(self._image, 3 * SLOW)  # wider than large beads, too
        if light < (1 - 1 / UNEVEN) * as_it_is.span:
            return as_it_is, as_it_is
        least = max(as_it_is.span / GROWS, self._least_span)
        options |= {"flatten_sigma": SLOW, "least_span": least}
        flat = PreparedWindows(self._image, **options)
        return as_it_is, flat if flat.span < as_it_is.span / UNEVEN else as_it_is

    def maps(self, scales: Sequence[float]) -> list[Maps]:
        """The mean of what the networks say at some scales, fine to coarse.

        On the grids of the first network. Levels that fit in a window share one.
        """
        count = len(self._networks)
        deep = sum(network.has_distance for network in self._networks)
        found = [self._empty(scale, bool(deep)) for scale in scales]
        for network in self._networks:
            for number, band in self._bands(network, scales):
                maps = found[number]
                rows = slice(band.top, band.top + len(band.probability))
                _add(maps.probability, rows, band.probability, count)
                if maps.uncertainty is not None:
                    _add(maps.uncertainty, rows, band.square, count)
                if band.distance is not None:
                    _add(maps.distance, rows, band.distance, deep)
        for maps in found:
            _finish(maps)
            if self._lost is not None:
                _leave_out(maps.probability, self._lost)
        return found

    def _empty(self, scale: float, deep: bool) -> Maps:
        shape = scaled_shape(self._image.shape, scale)
        return Maps(
            self._allocate(shape, np.float32),
            self._allocate(shape, np.float32) if deep else None,
            self._allocate(shape, np.float32) if self._spreads else None,
        )

    def _bands(self, network: Network, scales: Sequence[float]):
        """What a network says, band by band, with the number of the scale of each."""
        first, together = self._networks[0].run, {}
        for number, scale in enumerate(scales):
            shape = scaled_shape(self._image.shape, scale)
            source = self._source(network.run, scale_of(network.run, first, scale))
            if source[1] != shape:
                if self._allocate is not np.zeros:
                    raise BeadsegError(
                        f"{network.run.name}: knows beads of another size than "
                        f"{first.name}, and the image is too large to mix them: give "
                        "one of them with --run"
                    )
                yield number, _resampled(network.whole(*source), shape)
            elif network.holds(shape):
                together[number] = source
            else:
                for band in network.bands(*source):
                    yield number, band
        if together:
            yield from zip(
                together, network.together([*together.values()]), strict=True
            )


def _finish(maps: Maps) -> None:
    """Turns the mean squares into the spread."""
    probability, square = maps.probability, maps.uncertainty
    if square is None:
        return
    height = probability.shape[0]
    for top in range(0, height, BAND):
        rows = slice(top, min(top + BAND, height))
        variance = square[rows] - np.square(probability[rows])
        square[rows] = np.sqrt(np.maximum(variance, 0.0))


def bead_options(run: Run) -> dict[str, float]:
    """Options of `find_beads` for a run."""
    if run.sizes is not None:
        return options_of_range(*run.sizes)
    return options_of_size(run.bead_diameter, run.smallest_bead)


def scale_of(run: Run, first: Run, scale: float) -> float:
    """The scale at which a run sees beads of the size that `first` knows at `scale`."""
    if run is first or not (run.bead_diameter and first.bead_diameter):
        return scale
    if run.sizes is not None and first.sizes is not None:  # on levels however coarse
        return min(scale * run.sizes[1] / first.sizes[1], LARGEST_SCALE)
    ratio = run.bead_diameter / first.bead_diameter
    return min(max(scale * ratio, SMALLEST_SCALE), LARGEST_SCALE)


def _add(total: np.ndarray, rows: slice, values: np.ndarray, count: int) -> None:
    total[rows] = values if count == 1 else total[rows] + values / np.float32(count)


def _resampled(band: Band, shape: tuple[int, int]):
    maps = [None if m is None else resample_map(m, shape) for m in band[1:]]
    return Band(band.top, *maps)


def _leave_out(probability: np.ndarray, missing: np.ndarray) -> None:
    """No bead where the image has no data; of a large image some rows at a time."""
    lost = resample_labels(missing, probability.shape)
    for top in range(0, len(lost), BAND):
        rows = slice(top, top + BAND)
        probability[rows] = np.where(lost[rows], 0, probability[rows])
