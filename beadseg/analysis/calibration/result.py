"""All that a dilution series says, as plain numbers and sentences."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from beadseg.analysis.calibration.blank import Blank, blank_of
from beadseg.analysis.calibration.intervals import (
    Spread,
    between_interval,
    poisson_interval,
    spread,
)
from beadseg.analysis.calibration.line import (
    LEAST,
    Line,
    NoLineError,
    Stray,
    straight_line,
)
from beadseg.analysis.calibration.series import Image, Series, Unit
from beadseg.analysis.calibration.texts import UNITS, says, sentence
from beadseg.quoting import counted

UNEVEN = 0.01  # chance below which counts vary more than Poisson's distribution says


def calibrate(series: Series) -> dict[str, Any]:
    """Counts, spread, line, blank and limits of a series.

    Returns:
      "sentence"; "images", "frames", "replicates", "dilutions" (a dict each, thickest
      first, with counts per field and 95 % intervals "poisson" and "between");
      "spread", "line", "clumping" and "blank" (None where there is none); "strays";
      "field" (what one is); "says" (sentences); "left_out" and "limits" (what cannot be
      said, and why).
    """
    blanks = [unit for unit in series.units if unit.dilution is None]
    diluted = [unit for unit in series.units if unit.dilution is not None]
    limits = list(series.limits)
    exposure = float(np.mean([unit.exposure for unit in diluted]))
    blank = blank_of(blanks, exposure) if blanks else None
    varies = _spread(series.units, lambda unit: unit.dilution)
    crops = _spread(series.images, lambda i: (i.dilution, i.replicate, i.frame))
    try:
        background = (blank.level, blank.error) if blank else (0.0, 0.0)
        line = straight_line(diluted, background)
    except NoLineError as error:
        line = None
        limits.append(str(error))
    limits += _limits(series, diluted, blank, line, varies)
    dilutions = sorted({unit.dilution for unit in diluted})
    rows = [_of_dilution(d, series, line, varies, blank) for d in dilutions]
    result: dict[str, Any] = {
        "sentence": "",
        "counted": "replicate" if series.replicates else "frame",
        "field": {
            "mm2": series.mm2,
            "ml": series.ml,
            "edge": series.edge,
            "fields_of_one": exposure,
        },
        "dilutions": rows,
        "line": line and _line(line, rows, series),
        "clumping": line and _clumping(line, rows),
        "strays": [_stray(stray, rows) for stray in line.strays] if line else [],
        "blank": blank and _blank(blank, line, series),
        "spread": _of_spread(varies),
        "within_frames": _of_spread(crops),  # how evenly beads lie in a frame
        "replicates": [_of_unit(unit, line) for unit in series.replicates],
        "frames": [_of_unit(unit, line) for unit in series.frames],
        "images": [_image(image) for image in series.images],
        "left_out": series.left_out,
        "limits": limits,
    }
    result["sentence"] = sentence(result)
    result["says"] = says(result)
    return result


def _spread(units: Sequence[Unit | Image], group: Callable) -> Spread | None:
    counts = np.array([float(unit.count) for unit in units])
    exposure = np.array([unit.exposure for unit in units])
    return spread(counts, exposure, list(map(group, units)))


def _of_spread(found: Spread | None) -> dict[str, Any] | None:
    return found and {
        "overdispersion": found.overdispersion,
        "cv": found.cv,
        "chi_squared_by_df": found.chi_squared / found.df,
        "df": found.df,
        "p": found.p,
        "more_than_poisson": found.p < UNEVEN,
    }


def _of_unit(unit: Unit, line: Line | None) -> dict[str, Any]:
    row = {
        "name": unit.name,
        "dilution": unit.dilution,
        "images": unit.images,
        "count": unit.count,
        "per_field": unit.count / unit.exposure,
        "poisson": [end / unit.exposure for end in poisson_interval(unit.count)],
    }
    if unit.dilution is not None:
        row["residual"] = line and line.residual(unit.dilution, row["per_field"])
    return row


def _of_dilution(
    dilution: float,
    series: Series,
    line: Line | None,
    varies: Spread | None,
    blank: Blank | None,
) -> dict[str, Any]:
    units = [unit for unit in series.units if unit.dilution == dilution]
    counts = np.array([float(unit.count) for unit in units])
    exposure = np.array([unit.exposure for unit in units])
    whole = float(exposure.sum())
    rate = float(counts.sum()) / whole
    poisson = [end / whole for end in poisson_interval(counts.sum())]
    between = varies and between_interval(counts, exposure, varies)
    row: dict[str, Any] = {
        "dilution": dilution,
        "images": sum(unit.images for unit in units),
        "frames": sum(frame.dilution == dilution for frame in series.frames),
        "replicates": len(units) if series.replicates else None,
        "count": int(counts.sum()),
        "per_field": rate,
        "poisson": poisson,
        "between": between,
    }
    for name, unit in (("per_mm2", series.mm2), ("per_ml", series.ml)):
        row[name] = unit and rate / unit
        row[f"{name}_interval"] = unit and [end / unit for end in between or poisson]
    row["expected"] = line and line.expected(dilution)
    row["residual"] = line and line.residual(dilution, rate)
    row["in_line"] = line and line.thickest <= dilution <= line.thinnest
    row["above_detection"] = blank and rate >= blank.detection
    row["above_quantification"] = blank and rate >= blank.quantification
    return row


def _line(line: Line, rows: list[dict], series: Series) -> dict[str, Any]:
    in_line = [row for row in rows if row["in_line"]]
    in_range = [row for row in in_line if row["above_quantification"] is not False]
    return {
        "slope": line.slope,
        "interval": line.interval,
        "interval_poisson": line.poisson,
        "proportional": line.proportional,
        "df": line.df,
        "overdispersion": line.overdispersion,
        "thickest": line.thickest,
        "thinnest": line.thinnest,
        "linear_range": [
            {"dilution": row["dilution"], "per_field": row["per_field"]}
            for row in (in_range[0], in_range[-1])
        ]
        if len(in_range) > 1
        else None,
        "undiluted": {
            name: unit
            and {
                "value": line.undiluted / unit,
                "interval": [end / unit for end in line.undiluted_interval],
            }
            for (name, _), unit in zip(UNITS, (1.0, series.mm2, series.ml), strict=True)
        },
    }


def _clumping(line: Line, rows: list[dict]) -> dict[str, Any] | None:
    """None where it cannot be told."""
    found = line.clumping
    if found is None:
        return None
    return found._asdict() | {
        "dilution": rows[0]["dilution"],
        "left_out": not rows[0]["in_line"],
        "count_from": line.thickest,
    }


def _stray(stray: Stray, rows: list[dict]) -> dict[str, Any]:
    row = next(row for row in rows if row["dilution"] == stray.dilution)
    return {**stray._asdict(), "per_field": row["per_field"]}


def _blank(blank: Blank, line: Line | None, series: Series) -> dict[str, Any]:
    row: dict[str, Any] = blank._asdict()
    for name in ("detection", "quantification"):
        level = getattr(blank, name)
        signal = level - blank.level
        row[f"{name}_dilution"] = line and line.dilution_of(signal)
        row[f"{name}_per_mm2"] = series.mm2 and signal / series.mm2
        row[f"{name}_per_ml"] = series.ml and signal / series.ml
    return row


def _limits(
    series: Series,
    diluted: Sequence[Unit],
    blank: Blank | None,
    line: Line | None,
    varies: Spread | None,
) -> list[str]:
    said = []
    crops = len(series.images) - len(series.frames)
    if crops:
        said.append(
            f"{counted(len(series.images), 'image is', 'images are')} parts of "
            f"{counted(len(series.frames), 'frame')} (such as {_example(series)}): the "
            "parts of a frame are counted together, for they are no replicates; "
            "--frame names frames another way"
        )
    if varies is None:
        said.append(
            f"one {'replicate' if series.replicates else 'frame'} per dilution: the "
            "spread between them cannot be told from a dilution, and its interval is "
            "Poisson's alone, which is too narrow"
        )
    if blank is None:
        said.append(
            "no blank: its level, and the limits of detection and quantification, are "
            'not known; photograph one and put "blank" in its name, or give --blank'
        )
    elif blank.units == 1:
        said.append(
            "one blank: its spread is taken for Poisson's; photograph three or more"
        )
    dilutions = {unit.dilution for unit in diluted}
    if line is not None and len(dilutions) < LEAST:
        said.append(
            f"{counted(len(dilutions), 'dilution')}: from {LEAST} on it can be told "
            "where the line bends"
        )
    if line is not None and not line.df:
        said.append(
            "two counts: the interval of the slope is Poisson's alone, for nothing "
            "says how far counts lie from a line"
        )
    return said


def _example(series: Series) -> str:
    frames = Counter((i.dilution, i.replicate, i.frame) for i in series.images)
    return frames.most_common(1)[0][0][-1]


def _image(image: Image) -> dict[str, Any]:
    return {
        "image": image.name,
        "dilution": image.dilution,
        "replicate": image.replicate,
        "frame": image.frame,
        "fields": image.exposure,
        "count": image.count,
        "poisson": poisson_interval(image.count),
    }


def tables(result: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Rows of the tables by name: an interval becomes two columns."""
    names = ("dilutions", "replicates", "frames", "images")
    return {
        name: [_flat(row) for row in result[name]] for name in names if result[name]
    }


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if name == "expected":
            names = ["expected", "expected_low", "expected_high"]
        elif name in ("poisson", "between") or name.endswith("_interval"):
            stem = name.removesuffix("_interval")
            names = [f"{stem}_low", f"{stem}_high"]
        else:
            flat[name] = value
            continue
        flat |= zip(names, value or [None] * len(names), strict=True)
    return flat
