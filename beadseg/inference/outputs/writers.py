"""The files of a prediction, each written whole or not at all.

Polygons are f32[n, 2] (y, x) in px from the centre of the first pixel; in files that
measure from its corner (ImageJ, QuPath) half a pixel is added.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
import tifffile
from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

from beadseg import __version__
from beadseg.errors import BeadsegError
from beadseg.files import open_whole, write_whole
from beadseg.inference.outputs.columns import about
from beadseg.inference.outputs.kinds import TABLES
from beadseg.inference.scratch import Scratch
from beadseg.tables import FIRST_DAY, Table, column_names, rounded, rows, write_csv

LEVELS = 2**12  # of a stored probability: finer ones are noise that does not compress
CORNER = 0.5  # px, from the corner of the first pixel to its centre
CLASS = {"name": "Bead", "color": [0, 158, 115]}
LEVEL = 4  # of zlib
STRIP = 256  # rows of a TIFF that are compressed at once
SHEET_ROWS = 2**20  # of a sheet of Excel, its heads among them
_STATISTICS = {"n": len, "mean": np.mean, "sd": np.std, "min": min, "max": max}


def write_labels(
    file: Path,
    labels: np.ndarray | Scratch,
    count: int,
    pixel_size: float | None,
) -> None:
    """Writes i32[H, W] of at most `count` as u16, or u32 beyond 65,535."""
    # The smallest type that other tools read.
    kind = np.dtype(np.uint16 if count < 2**16 else np.uint32)
    _write_tiff(file, labels, lambda rows: rows.astype(kind), kind, pixel_size)


def write_map(
    file: Path, values: np.ndarray | Scratch, pixel_size: float | None
) -> None:
    """Writes f32[H, W] of 0..1, in steps of 1 / 4096."""
    levels = np.float32(LEVELS)

    def in_steps(rows: np.ndarray) -> np.ndarray:
        return (np.rint(rows * levels) / levels).astype(np.float32, copy=False)

    _write_tiff(file, values, in_steps, np.dtype(np.float32), pixel_size)


def write_region(file: Path, region: np.ndarray, pixel_size: float | None) -> None:
    """Writes bool[H, W] as u8, 255 inside."""
    kind = np.dtype(np.uint8)
    _write_tiff(file, region, lambda rows: 255 * rows.astype(kind), kind, pixel_size)


def _write_tiff(
    file: Path,
    values: np.ndarray | Scratch,
    convert: Callable[[np.ndarray], np.ndarray],
    kind: np.dtype,
    pixel_size: float | None,
) -> None:
    """Writes [H, W], read, converted and compressed some rows at a time."""
    options = _tiff_options(kind, pixel_size)

    def strips() -> Iterator[bytes]:
        for top in range(0, values.shape[0], STRIP):
            rows = convert(values[top : top + STRIP])
            if "predictor" in options:
                rows = imagecodecs.delta_encode(rows, axis=-1)
            yield imagecodecs.deflate_encode(rows, level=LEVEL)

    options |= {"shape": values.shape, "dtype": kind, "rowsperstrip": STRIP}
    with open_whole(file) as content:
        tifffile.imwrite(content, strips(), **options)


def _tiff_options(dtype: np.dtype, pixel_size: float | None) -> dict[str, Any]:
    """Deflate; Fiji and napari read it, with the pixel size."""
    options: dict[str, Any] = {
        "compression": "zlib",
        "compressionargs": {"level": LEVEL},
    }
    if dtype != np.uint32:  # which ImageJ reads, but not as its own kind
        options |= {"imagej": True, "metadata": {"unit": "um"} if pixel_size else {}}
        if pixel_size:
            options["resolution"] = (1 / pixel_size, 1 / pixel_size)
    elif pixel_size:
        options |= {"resolution": (1e4 / pixel_size,) * 2, "resolutionunit": 3}
    if dtype.kind == "u":
        options["predictor"] = 2  # ImageJ knows no other, so floats go without
    return options


def write_png(file: Path, picture: np.ndarray) -> None:
    """Writes u8[H, W, 3]."""
    paeth = imagecodecs.PNG.FILTER.PAETH  # of libpng's the smallest for photographs
    write_whole(file, imagecodecs.png_encode(picture, level=1, filter=paeth))


def write_rois(
    file: Path, beads: Sequence[int], outlines: Iterable[np.ndarray]
) -> None:
    """Writes a zip of ImageJ ROIs, one per bead, with subpixel coordinates."""
    content = io.BytesIO()  # about 200 bytes per bead; a file would be flushed for each
    with zipfile.ZipFile(content, "w") as rois:
        for bead, outline in zip(beads, outlines, strict=True):
            roi = ImagejRoi.frompoints(
                outline[:, ::-1] + np.float32(CORNER), name=f"{bead:05d}"
            )
            roi.roitype = ROI_TYPE.POLYGON
            roi.options |= ROI_OPTIONS.SUB_PIXEL_RESOLUTION
            # Without a time of its own: the same beads give the same bytes.
            info = zipfile.ZipInfo(f"{bead:05d}.roi", FIRST_DAY.timetuple()[:6])
            rois.writestr(info, roi.tobytes(), zipfile.ZIP_DEFLATED, 1)
    write_whole(file, content.getbuffer())


def write_geojson(file: Path, table: Table, outlines: Iterable[np.ndarray]) -> None:
    """Writes a GeoJSON collection for QuPath: one detection per bead, with
    measurements.
    """
    names = [name for name in table if name not in ("label", "on_border")]
    columns = [rounded(table[name]) for name in names]
    with open_whole(file) as content:
        separator = '{"type": "FeatureCollection", "features": [\n'
        for outline, label, *values in zip(
            outlines, table["label"].tolist(), *columns, strict=True
        ):
            ring = np.round(outline[:, ::-1].astype(float) + CORNER, 2).tolist()
            known = {n: v for n, v in zip(names, values, strict=True) if v == v}
            feature = {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
                "properties": {
                    "objectType": "detection",
                    "name": str(label),
                    "classification": CLASS,
                    "measurements": known,
                },
            }
            content.write((separator + json.dumps(feature)).encode())
            separator = ",\n"
        if not len(table["label"]):
            content.write(separator.encode())
        content.write(b"\n]}\n")


def write_table(file: Path, tables: Iterable[Table], dialect: str = "plain") -> None:
    """Writes tables of the same columns under each other, one at a time.

    Of the kind of `kinds.TABLES` that the ending of the file says. Where a table lacks
    a column of another its cells are empty; of no table at all an empty file is made.
    `dialect` is of `tables.DIALECTS`, for CSV.

    Raises:
      BeadsegError: the ending is none of these.
    """
    kind = TABLES.get(file.suffix[1:])
    if kind is None:
        raise BeadsegError(f"{file}: a table ends in .{' or .'.join(TABLES)}")
    tables = list(tables)
    if kind.write is None:
        write_csv(file, tables, dialect)
        return
    with open_whole(file) as content:
        kind.write(content, column_names(tables), tables)


def write_parquet(content: BinaryIO, names: list[str], tables: list[Table]) -> None:
    """As Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def arrow(table: Table) -> pa.Table:
        count = len(next(iter(table.values()), ()))
        columns = [table.get(name, [None] * count) for name in names]
        arrays = [pa.array(np.asarray(column).tolist()) for column in columns]
        return pa.table(dict(zip(names, arrays, strict=True)))

    if not tables:
        tables = [{}]
    joined = pa.concat_tables(map(arrow, tables), promote_options="permissive")
    about = {"creator": f"beadseg {__version__}"}
    pq.write_table(joined.replace_schema_metadata(about), content)


def write_excel(content: BinaryIO, names: list[str], tables: list[Table]) -> None:
    """As xlsx: numbers in any language of Excel; text is never a formula."""
    from xlsxwriter import Workbook

    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
    }
    with Workbook(content, options) as book:
        book.set_properties({"created": FIRST_DAY})
        sheet = None
        for i, line in enumerate(rows(names, tables, _numbers)):
            row = i % (SHEET_ROWS - 1)
            if row == 0:  # what does not fit goes on in another sheet
                sheet = book.add_worksheet()
                sheet.write_row(0, 0, names)
            sheet.write_row(row + 1, 0, line)
        if sheet is None:
            book.add_worksheet().write_row(0, 0, names)
        if names:
            _summary(book.add_worksheet("summary"), names, tables)


def _summary(sheet: Any, names: list[str], tables: list[Table]) -> None:
    """Unit and meaning of each column, and the statistics of its numbers."""
    sheet.write_row(0, 0, ("column", "unit", "meaning", *_STATISTICS))
    for row, name in enumerate(names, 1):
        sheet.write_row(row, 0, (name, *(about(name) or ("", ""))))
        cells = [v for t in tables for v in np.asarray(t.get(name, ())).tolist()]
        numbers = [v for v in cells if isinstance(v, (int, float)) and v == v]
        if numbers:
            found = [of(numbers) for of in _STATISTICS.values()]
            sheet.write_row(row, 3, rounded(np.array(found, float)))


def _numbers(column: np.ndarray) -> list[Any]:
    return [None if v != v else v for v in rounded(column)]
