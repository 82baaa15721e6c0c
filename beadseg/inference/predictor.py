"""Images in memory to beads: `beadseg.load(RUN).predict(array)`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, overload

import numpy as np

from beadseg.data.images import gaps
from beadseg.data.images.units import is_pixel_size
from beadseg.data.masks import sizes
from beadseg.data.scaling import scaled_shape
from beadseg.errors import BeadsegError
from beadseg.files import user_path
from beadseg.inference.arrays import (
    as_arguments,
    is_batch,
    named,
    naming_arguments,
    progress_bar,
    usable,
)
from beadseg.inference.looking import Looker
from beadseg.inference.networks.tiles import TILE, Network
from beadseg.inference.outputs.measure import BAND, Measurer, keep_only
from beadseg.inference.outputs.surroundings import surroundings
from beadseg.inference.prediction import NAME, Prediction, Predictions
from beadseg.inference.pyramid import bead_scores, pyramid, size
from beadseg.inference.pyramid.cleaning import clean
from beadseg.inference.pyramid.compose import Allocate, compose
from beadseg.inference.pyramid.half_height import to_half_height
from beadseg.inference.pyramid.lettering import lines_of_text, written
from beadseg.inference.pyramid.pyramid import Candidates, Level
from beadseg.inference.pyramid.small import only_beads
from beadseg.inference.pyramid.suppression import (
    DRAWN_WELL,
    FAINT,
    MIN_SCORE,
    TAKEN,
    dust,
    least_score,
    select,
)
from beadseg.inference.run import Run, load_runs
from beadseg.inference.settings import AUTO, Settings
from beadseg.quoting import counted

ASKED = (0.4, 2.5)  # times the diameter that was given: sizes that are taken
DUST = "far smaller than the beads and unlikely to be any"
WRITTEN = "part of the lettering in the image"


@dataclass(frozen=True)
class NetworkOutput:
    """An image after the networks: what is left needs none of them."""

    image: np.ndarray  # [H, W], gaps filled
    missing: np.ndarray | None  # bool[H, W], where it has no data
    levels: list[Level]
    beads: Candidates  # those that were selected
    score: np.ndarray  # f32[N]
    threshold: float
    notes: tuple[str, ...]  # for the person
    settings: Settings
    allocate: Allocate


def load(
    *runs: str | Path | None,
    top: int | None = None,
    tile: int = TILE,
    overlap: int | None = None,
    augment: bool = False,
) -> "Predictor":
    """A predictor from run folders; from none, the default model.

    Args:
      runs: run or sweep folders; several make an ensemble. "default", None or nothing:
        the default model.
      top: members of each sweep that are taken, best first.
      tile: px of the image that a window contributes, a side, 16 or more; only memory
        and speed depend on it.
      overlap: px by which windows reach beyond that; None: as far as exactness needs.
      augment: predicts in the 8 symmetries of the square and takes the mean.

    Raises:
      BeadsegError: no such run, or one that cannot be used.
    """
    for name, value in (("top", top), ("tile", tile), ("overlap", overlap)):
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        if value is not None and not whole:
            raise BeadsegError(f"{name} = {value!r:.80}: give a whole number")
    with naming_arguments():
        loaded = load_runs([user_path(run) for run in runs if run is not None], top)
        return Predictor(loaded, tile=tile, overlap=overlap, augment=augment)


class Predictor:
    """Predicts with one run, or with the mean of several."""

    def __init__(self, runs: list[Run], **tiling: Any):
        """`tiling` is passed on to `Network`."""
        self.runs = runs
        self.networks = [Network(run, **tiling) for run in runs]
        self.augment = bool(tiling.get("augment"))
        self.spreads = len(runs) > 1 or self.augment

    def __repr__(self) -> str:
        runs = ", ".join(run.name for run in self.runs)
        return (
            f"<Predictor of {runs}: {self._knows()}, threshold {self.threshold():.3g}>"
        )

    @property
    def has_calibrated_scores(self) -> bool:
        """Whether scores are the share that is right, as `doubts.mark` asks.

        They were fitted to what a network finds on the pyramid: a run that knows one
        size may be right with low scores.
        """
        return self.runs[0].sizes is not None

    def _knows(self) -> str:
        run = self.runs[0]
        if run.sizes is not None:
            return "beads of any size"
        if run.bead_diameter is None:
            return "beads of its training"
        return f"beads of about {run.bead_diameter / run.scale:.3g} px"

    @overload
    def predict(self, array: np.ndarray, **settings: Any) -> Prediction: ...
    @overload
    def predict(self, array: Iterable[np.ndarray], **settings: Any) -> Predictions: ...
    def predict(
        self,
        array: np.ndarray | Iterable[np.ndarray] | Mapping[str, np.ndarray],
        threshold: float | str = AUTO,
        diameter: float | str = AUTO,
        pixel_size: float | None = None,
        min_score: float | str = AUTO,
        polarity: str = "any",
    ) -> Prediction | Predictions:
        """Finds and measures the beads of an image, or of several.

        Args:
          array: [H, W] of any real type, or [H, W, 3 or 4] of RGB(A). Of a list (or
            what else yields such arrays) each, with a progress bar; of a dict by name.
            All is kept in memory: of many large images predict and save one at a time.
          threshold: of the probability; "auto": the one chosen on validation images.
          diameter: px of the beads in this image; "auto": of any size, or of that of
            the images that the run was trained on.
          pixel_size: um, for lengths in um.
          min_score: beads of less are left out; "auto": 0.4 where beads of any size
            are looked for, else 0.
          polarity: "bright" or "dark" beads alone, or "any".

        Raises:
          BeadsegError: pixels, or settings that make no sense; of several images before
            any is looked at.
        """
        if pixel_size is not None and not (
            isinstance(pixel_size, Real)
            and not isinstance(pixel_size, bool)
            and is_pixel_size(pixel_size)
        ):
            raise BeadsegError(f"pixel_size {pixel_size}: give um above 0")
        with naming_arguments():
            settings = Settings(threshold, diameter, min_score, polarity)
        channel = self.runs[0].channel

        def find(name: str, image: np.ndarray) -> Prediction:
            with naming_arguments():
                found = self.find(image, settings, pixel_size)
            notes = tuple(as_arguments(line) for line in found.notes)
            return replace(found, name=name, notes=notes)

        if not is_batch(array):
            return find(NAME, usable(array, "the image", channel))
        images = {n: usable(a, n, channel) for n, a in named(array).items()}
        bar = progress_bar(images.items(), "predicting", unit="image")
        return Predictions([find(*pair) for pair in bar])

    def find(
        self,
        image: np.ndarray,
        settings: Settings,
        pixel_size: float | None = None,
    ) -> Prediction:
        """Finds and measures the beads of one image, for a command.

        Args:
          image: [H, W], of `arrays.usable`.
          settings: what was asked for.
          pixel_size: um.

        Raises:
          BeadsegError: settings that make no sense, named as options of a command.
        """
        return self.finish(self.look(image, settings, pixel_size), pixel_size)

    def look(
        self,
        image: np.ndarray,
        settings: Settings,
        pixel_size: float | None = None,
        least_span: float = 0.0,
        allocate: Allocate = np.zeros,
    ) -> NetworkOutput:
        """What the networks say of an image [H, W], and which regions are beads.

        Args:
          image: [H, W]; what is NaN, infinite or blank has no data, and holds no bead.
          settings: what was asked for.
          pixel_size: um; known here and in training, it tells the size of the beads.
          least_span: see `beadseg.data.scaling.prepare`.
          allocate: makes the arrays of the levels.
        """
        threshold, run = self.threshold(settings.threshold), self.runs[0]
        image, missing = gaps.fill(image)
        notes = []
        if missing is not None:
            notes.append(gaps.note(int(missing.sum()), missing.size))
        on_pyramid = run.sizes is not None
        judged = on_pyramid and settings.min_score == AUTO
        field = even = image
        if on_pyramid:
            even, field, missing, span, more = clean(image, missing, bars=judged)
            least_span = max(least_span, span)
            notes += more
        look = self._looker(even, threshold, missing, least_span, allocate)
        asked = None if settings.diameter == AUTO else float(settings.diameter)
        if on_pyramid:
            levels = self._pyramid(image.shape, look, asked, needed=True)
            if asked is None and levels[0].scale == 1:
                levels = self._finer(levels, image.shape, look)
        else:
            levels, of_size = size.known_size(image, run, look, asked, pixel_size)
            notes += of_size
        beads, score, unsure = self._select(levels, image.shape, settings, asked)
        if unsure:
            regions = counted(unsure, "region", "regions")
            notes.append(
                f"{regions} of low score, and few sure ones, look like grain or dirt: "
                f"left out {TAKEN}"
            )
        if on_pyramid and asked is None and not len(score):
            notes += self._field_of_view(levels, image.shape)
        if judged:
            beads, score, left_out = _only_beads(beads, score, field)
            notes += left_out
        return NetworkOutput(
            *(image, missing, levels, beads, score, threshold, tuple(notes)),
            *(settings, allocate),
        )

    def pyramid(self, image: np.ndarray, finer: bool = False) -> list[Level]:
        """All levels down to the pixels of an image [H, W], before any is scored.

        Args:
          image: [H, W].
          finer: looks at it enlarged as well.
        """
        image, missing = gaps.fill(image)
        look = self._looker(image, self.threshold(), missing)
        levels = self._pyramid(image.shape, look, None)
        return [look(pyramid.OCTAVE * levels[0].scale), *levels] if finer else levels

    def _pyramid(
        self, shape, look: Looker, asked: float | None, needed: bool = False
    ) -> list[Level]:
        """All levels of an image; of the large ones those `needed`, if so asked."""
        scales = pyramid.scales(shape, self.runs[0].sizes, asked)
        large = []
        if needed and asked is None:
            holds = self.networks[0].holds
            large = [scale for scale in scales if not holds(scaled_shape(shape, scale))]
        levels = self._levels(look, scales[len(large) :])
        for scale in reversed(large):
            if levels and self._shows_all(levels, shape, look):
                break
            levels = self._levels(look, [scale]) + levels
        return levels

    def _levels(self, look: Looker, scales: list[float]) -> list[Level]:
        levels = []
        for scale, maps in zip(scales, look.maps(scales), strict=True):
            level = look(scale, maps)
            levels.append(level)
            largest = level.regions["diameter_px"].max(initial=0)
            if scale < 1 or largest >= pyramid.ROUND:
                levels.append(look(scale, maps, whole=True))
        return levels

    def _shows_all(self, levels: list[Level], shape, look: Looker) -> bool:
        """Whether the levels show all beads, drawn well: finer ones are not needed."""
        beads = self._select(levels, shape, Settings(), None)[0]
        scale, maps = levels[0][:2]
        diameter = beads.diameter * scale
        y, x = ((at + 0.5) * scale - 0.5 for at in (beads.y, beads.x))
        inner = [
            np.minimum(at, n - 1 - at)
            for at, n in zip((y, x), maps[0].shape, strict=True)
        ]
        whole = diameter[np.minimum(*inner) > diameter / 2 + 1]
        if not len(whole) or whole.min() < DRAWN_WELL[0]:
            return False
        probability = np.asarray(maps.probability[:])
        read, (height, width) = look.source(scale)
        level = read(0, height, 0, width)
        return only_beads(*look.source(1.0), level, probability, y, x, diameter)

    def _finer(self, levels, shape, look: Looker) -> list[Level]:
        """The levels, and one more where beads of few pixels are found.

        Of tiny beads that touch some are seen only enlarged: where many are found, it
        is tried, in a large image in the busiest parts of it.
        """

        def enlarged(levels, look):
            return [look(pyramid.OCTAVE * levels[0].scale), *levels]

        def scores(levels, shape):
            return self._select(levels, shape, Settings(), None)[:2]

        beads, score = scores(levels, shape)
        if pyramid.wants_finer(beads, score, 0):
            return enlarged(levels, look)
        if not pyramid.may_want_finer(beads, score):
            return levels
        parts = pyramid.busiest(beads, shape)
        if parts is None:
            finer = enlarged(levels, look)
            more = pyramid.more_expected(score, scores(finer, shape)[1])
            return finer if more else levels
        before, after = [], []
        for part in parts:
            within, side = look.within(part), (pyramid.WINDOW,) * 2
            seen = self._pyramid(side, within, None)
            before.append(scores(seen, side)[1])
            after.append(scores(enlarged(seen, within), side)[1])
        more = pyramid.more_expected(np.concatenate(before), np.concatenate(after))
        return enlarged(levels, look) if more else levels

    def candidates(
        self, levels: list[Level], shape: tuple[int, int], asked: float | None = None
    ) -> tuple[Candidates, np.ndarray]:
        """The regions of all levels that may be beads, and `pyramid.under` of them.

        Args:
          levels: of the image.
          shape: of the image.
          asked: px across the beads, if a person said so.
        """
        found = pyramid.candidates(levels, shape, self._sizes(), asked is not None)
        if asked is not None:
            low, high = (share * asked for share in ASKED)
            found = found.take((found.diameter >= low) & (found.diameter <= high))
        return found, pyramid.under(levels, shape, found)

    def _field_of_view(self, levels: list[Level], shape) -> list[str]:
        """What a person should hear of a bright disc that nearly fills an image."""
        found = pyramid.candidates(levels, shape, self._sizes(), fields=True)
        score = bead_scores.scores(levels, found, pyramid.under(levels, shape, found))
        likely = (score >= FAINT) & (found.diameter <= min(shape))
        largest = found.diameter[likely].max(initial=0)
        if largest <= pyramid.LARGEST * min(shape):
            return []
        return [
            f"a bright disc of {largest:.3g} px nearly fills the image: it may be the "
            f"round field of view, and is not counted (--diameter {largest:.3g} counts "
            "it)"
        ]

    def _sizes(self) -> tuple[float, float] | None:
        """Sizes of regions that may be beads, px of a level."""
        known = self.runs[0].sizes
        return None if known is None else sizes.looked_for(known)

    def _select(
        self, levels, shape, settings: Settings, asked: float | None
    ) -> tuple[Candidates, np.ndarray, int]:
        """The beads, their scores, and how many more are too unsure in this image."""
        on_pyramid = self.runs[0].sizes is not None
        found, beneath = self.candidates(levels, shape, asked if on_pyramid else None)
        score = bead_scores.scores(levels, found, beneath if on_pyramid else None)
        least = settings.min_score
        if least == AUTO:
            least = MIN_SCORE if on_pyramid else 0.0
        chosen, unsure = select(found, beneath, score, float(least)), 0
        if settings.min_score == AUTO and on_pyramid:
            least = least_score(found, beneath, score, chosen, shape[0] * shape[1])
            if least > MIN_SCORE:
                unsure = len(chosen)
                chosen = select(found, beneath, score, least)
                unsure -= len(chosen)
        if settings.polarity != "any":
            sign = 1 if settings.polarity == "bright" else -1
            differs = bead_scores.polarity(levels, found)[chosen]
            chosen = chosen[sign * differs > 0]
        chosen = chosen[np.lexsort((found.x[chosen], found.y[chosen]))]
        return found.take(chosen), score[chosen], unsure

    def finish(
        self,
        seen: NetworkOutput,
        pixel_size: float | None = None,
        region: np.ndarray | None = None,
        edge: str = "corrected",
    ) -> Prediction:
        """The rest of `predict`, which may run on another thread.

        `region` and `edge` say which beads count, see `Measurer`.
        """
        shape = seen.image.shape
        band = None if seen.allocate is np.zeros else BAND
        page = compose(
            seen.levels, seen.beads, shape, seen.threshold, seen.allocate, band
        )
        if self.runs[0].sizes is not None:
            to_half_height(page.labels, seen.image, seen.beads, seen.levels)
        faintest, smallest = None, 0.0
        if seen.settings.min_score == AUTO:
            faintest = self.runs[0].faintest_bead
            smallest = self.runs[0].alike_from / seen.levels[0].scale
        measurer = Measurer(
            *(shape, len(seen.score), seen.threshold, seen.missing, region, edge),
            *(faintest, smallest),
        )
        for top in range(0, shape[0], BAND):
            rows = slice(top, min(top + BAND, shape[0]))
            maps = {}
            if page.uncertainty is not None:
                maps["uncertainty"] = page.uncertainty[rows]
            probability = page.probability[rows]
            if seen.missing is not None:
                here = seen.missing[rows]
                page.labels[rows] = np.where(here, 0, page.labels[rows])
                page.probability[rows] = np.where(here, 0, probability)
                probability = np.where(here, 1, probability)  # no clear background
            measurer.add(page.labels[rows], seen.image[rows], probability, maps)
        found = measurer.finish(pixel_size)
        if region is not None or measurer.faint:
            keep_only(page.labels, found.table["label"])
        notes = seen.notes
        if measurer.faint:
            regions = counted(measurer.faint, "region is", "regions are")
            notes += (
                f"{regions} far fainter, for such a size, than the beads that "
                f"{self.runs[0].name} was trained on: left out (--min-score 0 takes "
                "them)",
            )
        table = found.table | surroundings(
            *(page.labels, seen.image, found.table, found.boxes),
            *(pixel_size, seen.missing),
        )
        score = seen.score[table["label"] - 1].astype(float)
        about = found.image | {
            "mean_score": float(score.mean()) if len(score) else None,
            "threshold": seen.threshold,
            "scale": _main_scale(seen),
        }
        # Of few pixels it goes beyond 1, which no shape has: cut there as in ImageJ.
        circularity = np.minimum(table["circularity"], 1.0)
        return Prediction(
            page.labels,
            page.probability,
            table | {"circularity": circularity, "score": score},
            about,
            page.uncertainty,
            found.boxes,
            *(seen.image, pixel_size, notes, seen.settings, self),
        )

    def _looker(self, image, threshold: float, missing, *more) -> Looker:
        return Looker(self.networks, self.spreads, image, threshold, missing, *more)

    def threshold(self, wanted: float | str = AUTO) -> float:
        """The threshold in use: of several runs the mean of theirs."""
        if wanted == AUTO:
            return float(np.mean([run.threshold for run in self.runs]))
        return float(wanted)


def _only_beads(
    beads: Candidates, score: np.ndarray, image: np.ndarray
) -> tuple[Candidates, np.ndarray, list[str]]:
    """The beads less letters and dust, and what a person should hear of those."""
    if not len(score):
        return beads, score, []
    letters = written(lines_of_text(image), beads.y, beads.x, beads.diameter)
    beads, score = beads.take(~letters), score[~letters]
    small = dust(beads, score, image.shape)
    left_out = {WRITTEN: int(letters.sum()), DUST: int(small.sum())}
    notes = [
        f"{counted(count, 'region is', 'regions are')} {what}: left out {TAKEN}"
        for what, count in left_out.items()
        if count
    ]
    return beads.take(~small), score[~small], notes


def _main_scale(seen: NetworkOutput) -> float:
    """Of the level that most of the beads' area comes from."""
    covered = np.bincount(seen.beads.level, seen.beads.diameter**2, len(seen.levels))
    return seen.levels[int(covered.argmax())].scale
