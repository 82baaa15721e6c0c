"""What was found in images in memory: in words, as a picture, as tables, as files."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

import beadseg
from beadseg.errors import BeadsegError, note
from beadseg.files import user_path, writing
from beadseg.inference import doubts
from beadseg.inference.arrays import as_arguments, naming_arguments, usable
from beadseg.inference.records import records
from beadseg.quoting import counted, is_printable, short_name
from beadseg.tables import Table, constant, stacked

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

    from beadseg.inference.predictor import Predictor
    from beadseg.inference.settings import Settings

NAME = "image"  # of an image that was given none
SHOWN = 900  # px, longer side of a picture in a notebook


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """The beads of an image of H x W px.

    The arrays of a large image may lie on disk, and be read in parts.
    """

    labels: np.ndarray  # i32[H, W], 0 background; a bead hidden by others has no px
    probability: np.ndarray  # f32[H, W]
    table: Table  # one row per bead, see `beadseg.inference.outputs.columns`
    image: dict[str, Any]  # count, density, ...: one row of images.csv
    uncertainty: np.ndarray | None  # f32[H, W], spread over runs and symmetries
    boxes: np.ndarray  # i64[N, 4], first and last + 1 row, first and last + 1 column
    pixels: np.ndarray  # [H, W], the grey image, gaps filled
    pixel_size: float | None  # um
    notes: tuple[str, ...]  # for the person
    settings: Settings  # what was asked for
    predictor: Predictor
    name: str = NAME

    def __repr__(self) -> str:
        return (
            f"<{self.name}: {counted(self.count, 'bead')}, "
            f"{_diameter(self.image)}, threshold {self.image['threshold']:.3g}>"
        )

    @property
    def count(self) -> int:
        """The number of beads."""
        return self.image["count"]

    def _repr_html_(self) -> str:
        return Predictions([self])._repr_html_()

    @property
    def doubts(self) -> list[str]:
        """Lines on what makes the count doubtful, and what to try."""
        return Predictions([self]).doubts

    @cached_property
    def outlines(self) -> list[np.ndarray]:
        """f32[n, 2] (y, x) of each bead, px, see `outputs.outlines.polygons`."""
        from beadseg.inference.outputs.outlines import polygons

        return list(polygons(self.labels, self.boxes, self.table["label"]))

    def in_channels(self, channels: Mapping[str, np.ndarray]) -> Prediction:
        """The same beads, with columns on how bright they are in other channels.

        Args:
          channels: by name, [H, W] or [H, W, 3 or 4] of the same place.

        Raises:
          BeadsegError: pixels, or an image of another size.
        """
        from beadseg.inference.outputs.channels import in_channel

        if not isinstance(channels, Mapping):
            raise BeadsegError("channels: give a dict of arrays by their names")
        table = dict(self.table)
        for name, given in channels.items():
            image = usable(given, name)
            if image.shape != self.labels.shape:
                sizes = [f"{h} x {w} px" for h, w in (image.shape, self.labels.shape)]
                raise BeadsegError(f"{name}: {' but the beads are in '.join(sizes)}")
            table |= in_channel(
                *(name, image, self.labels, self.table, self.boxes),
                *(self.probability, self.image["threshold"]),
            )
        return replace(self, table=table)

    def to_pandas(self) -> pandas.DataFrame:
        """The beads, with the columns of beads.csv.

        Raises:
          BeadsegError: pandas is missing.
        """
        return Predictions([self]).to_pandas()

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the image and the outlines of its beads.

        Args:
          ax: of matplotlib; None: of a figure of its own.

        Returns:
          The axes, in px of the image.
        """
        from matplotlib import pyplot
        from matplotlib.collections import LineCollection

        from beadseg.inference.outputs.overlay import COLOURS, brightness

        if ax is None:
            _, ax = pyplot.subplots(layout="constrained")
        low, high = brightness(self.pixels)
        ax.imshow(self.pixels, cmap="gray", vmin=low, vmax=high)
        rings = [np.concatenate([o, o[:1]])[:, ::-1] for o in self.outlines]
        ax.add_collection(LineCollection(rings, colors=COLOURS, linewidths=1))
        ax.set_title(counted(self.count, "bead"))
        ax.set_axis_off()
        return ax

    def save(
        self, folder: str | Path, name: str | None = None, report: bool = True
    ) -> Path:
        """Writes the files of `beadseg predict`.

        A prediction folder made in the same way is added to: its tables are then of all
        images in it.

        Args:
          folder: made where it is missing.
          name: of the image; None: its own.
          report: writes the page of the folder too, which takes about 2 s;
            where many are saved one by one, `beadseg.report` writes it at the end.

        Returns:
          The folder.

        Raises:
          BeadsegError: the folder holds an image of that name or something else, or
            cannot be written; or the name is none for a file.
        """
        names = None if name is None else [name]
        return Predictions([self]).save(folder, names, report)


class Predictions(Sequence[Prediction]):
    """What was found in several images, in their order."""

    def __init__(self, predictions: Sequence[Prediction]):
        self._all = list(predictions)

    def __len__(self) -> int:
        return len(self._all)

    @overload
    def __getitem__(self, at: int) -> Prediction: ...
    @overload
    def __getitem__(self, at: slice) -> Predictions: ...
    def __getitem__(self, at):
        return Predictions(self._all[at]) if isinstance(at, slice) else self._all[at]

    def __repr__(self) -> str:
        beads = counted(sum(p.count for p in self), "bead")
        return f"<{beads} in {counted(len(self), 'image')}>"

    def _repr_html_(self) -> str:
        lines = [*([repr(self)] if len(self) > 1 else ()), *self.doubts]
        opened = " open" if len(self) == 1 else ""
        return "".join(f"<p>{html.escape(line)}</p>" for line in lines) + "".join(
            f"<details{opened}><summary>{html.escape(repr(p))}</summary>"
            f"{_picture(p)}</details>"
            for p in self
        )

    @property
    def doubts(self) -> list[str]:
        """Lines on what makes counts doubtful, with the images, and what to try."""
        if not self._all:
            return []
        rows = [{"image": p.name} | p.image for p in self]
        lines = doubts.mark(rows, self[0].predictor.has_calibrated_scores)
        return [as_arguments(line) for line in lines]

    def to_pandas(self) -> pandas.DataFrame:
        """All beads under each other, with the columns of beads.csv.

        Raises:
          BeadsegError: pandas is missing.
        """
        try:
            import pandas
        except ImportError:
            raise BeadsegError(
                "to_pandas() needs the package pandas: pip install pandas"
            ) from None
        tables = [constant(len(p.table["label"]), image=p.name) | p.table for p in self]
        return pandas.DataFrame(stacked(tables))

    def save(
        self,
        folder: str | Path,
        names: Sequence[str] | None = None,
        report: bool = True,
    ) -> Path:
        """Writes the files of `beadseg predict`.

        See `Prediction.save`; `names`: a name for each image.
        """
        folder = user_path(folder)
        if not self._all:
            raise BeadsegError(f"{folder}: there is no image to save: predict some")
        names = file_names(
            [p.name for p in self] if names is None else names, len(self)
        )
        with naming_arguments():
            self._save(folder, names)
        if report:
            beadseg.report(folder)
        return folder

    def _save(self, folder: Path, names: list[str]) -> None:
        from beadseg.inference import batch, inputs

        predictor = self[0].predictor
        options = batch.Options(folder, self[0].settings, resume=True)
        failed: list[str] = []
        with batch.folder_alone(inputs.Inputs([], [], []), options):
            batch.begin(predictor, options)
            there = [file.stem for file in records(folder)]
            taken = {name.lower() for name in there}
            for name in names:
                if name.lower() in taken:
                    raise BeadsegError(
                        f"{folder}: holds {name!r} already: give another name or folder"
                    )
            with writing(folder, None):
                for name, found in zip(names, self, strict=True):
                    where = {"file": "", "page": 0, "stamp": []}
                    batch.write_image(name, found, where, options)
            calibrated = predictor.has_calibrated_scores
            batch.write_tables([*there, *names], calibrated, options, failed)
        for line in failed:
            note(line)


def file_names(names: Iterable[str], count: int) -> list[str]:
    """Names of images as their files have them.

    Raises:
      BeadsegError: not as many as there are images, one twice, or none for a file.
    """
    ordered = isinstance(names, Iterable) and not isinstance(names, str | Set)
    names = list(names) if ordered else []
    if len(names) != count:
        raise BeadsegError(f"names: give a list of {counted(count, 'name')}")
    for name in names:
        usual = isinstance(name, str) and name.strip() and not name.startswith(".")
        if not usual or {*name} & {*'/\\:*?"<>|'}:
            raise BeadsegError(f"{name!r} is no name for a file: give another")
        if not is_printable(name):
            raise BeadsegError(f"{name!r} has characters that no name has: leave them")
    names = [short_name(name) for name in names]
    if len({name.lower() for name in names}) < count:
        raise BeadsegError("two images have one name: give each its own")
    return names


def _diameter(image: dict[str, Any]) -> str:
    for unit in ("um", "px"):
        if image[f"median_diameter_{unit}"] is not None:
            return f"median diameter {image[f'median_diameter_{unit}']:.3g} {unit}"
    return "no diameter"


def _picture(of: Prediction) -> str:
    """The image with its outlines, as HTML."""
    from PIL import Image

    from beadseg.inference.outputs.overlay import draw_overlay

    picture = Image.fromarray(draw_overlay(of.pixels, of.outlines, of.pixel_size))
    picture.thumbnail((SHOWN, SHOWN))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    data = base64.b64encode(file.getvalue()).decode()
    alt = html.escape(repr(of), quote=True)
    return f'<img alt="{alt}" src="data:image/jpeg;base64,{data}">'
