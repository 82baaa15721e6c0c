"""The page of a dilution series: the line, what leaves it, and every count."""

from pathlib import Path
from typing import Any

import numpy as np

from beadseg.analysis.calibration.blank import DETECTION, QUANTIFICATION
from beadseg.analysis.calibration.line import OFF
from beadseg.analysis.calibration.texts import (
    dilution_table,
    left_out,
    of_clumping,
    of_stray,
)
from beadseg.page import BLUE, GREEN, GREY, ORANGE, RED, Page
from beadseg.quoting import counted, percent

_ROWS = 60  # counts in a table of the page


def write_page(result: dict[str, Any], file: Path) -> None:
    """Writes the page of a result of `calibrate`; raises BeadsegError: it cannot."""
    page = Page("Calibrated count", f"{result['sentence']}.")
    _numbers(page, result)
    for stray in result["strays"]:
        page.callout("warn", f"{of_stray(stray)}.", "Off the line.")
    clumping = result["clumping"]
    if clumping and clumping["bends_at"]:
        page.callout("warn", f"{of_clumping(clumping)}.", "Clumping.")
    for line in left_out(result):
        page.callout("note", f"{line}.")
    page.section("Counts over dilutions")
    _plot(page, result)
    page.table(*dilution_table(result), _caption(result))
    apart = {of_stray(stray) for stray in result["strays"]}
    if clumping := result["clumping"]:
        apart |= {of_clumping(clumping)} if clumping["bends_at"] else set()
    page.items([f"{line}." for line in result["says"] if line not in apart])
    if result["limits"]:
        page.section("Limits")
        page.items([f"{line}." for line in result["limits"]])
    page.section(f"{result['counted'].capitalize()}s")
    _units(page, result)
    page.section("What the numbers mean")
    page.items(_meanings(result))
    page.command(f"beadseg calibrate {result['folder']} --dilution ...")
    page.write(file, "-o")


def _numbers(page: Page, result: dict[str, Any]) -> None:
    tiles = []
    if line := result["line"]:
        ends = line["interval"] if line["df"] else line["interval_poisson"]
        low, high = (f"{end:.2f}" for end in ends)
        tiles.append(("Slope", f"{line['slope']:.3f}", f"{low} to {high}"))
        if line["linear_range"]:
            thick, thin = line["linear_range"]
            text = f"{thick['per_field']:.3g} to {thin['per_field']:.3g} a field"
            dilutions = f"{thick['dilution']:g}x – {thin['dilution']:g}x"
            tiles.append(("Linear range", dilutions, text))
        for name, unit in (("per_ml", "per ml"), ("per_mm2", "per mm²")):
            if of := line["undiluted"][name]:
                low, high = map(_short, of["interval"])
                tile = _short(of["value"]), f"{low} to {high}"
                tiles.append((f"Undiluted {unit}", *tile))
                break
    if blank := result["blank"]:
        tiles.append(("Blank", f"{blank['level']:.3g}", "beads per field"))
        tiles.append(("Detection", f"{blank['detection']:.3g}", "beads per field"))
        tiles.append(("Quantification", f"{blank['quantification']:.3g}", "per field"))
    beads = sum(row["count"] for row in result["dilutions"])
    tiles.append(("Beads", f"{beads:,}", counted(len(result["images"]), "image")))
    page.numbers(tiles)


def _short(value: float) -> str:
    """Two digits, as 9.3e9 where they would not fit."""
    return f"{value:.2g}".replace("e+0", "e").replace("e+", "e")


def _plot(page: Page, result: dict[str, Any]) -> None:
    rows, line = result["dilutions"], result["line"]
    units = [
        unit
        for unit in result["replicates"] or result["frames"]
        if unit["dilution"] is not None
    ]
    ratios = {"height_ratios": (2.6, 1)}
    if line is None:
        with page.plot(_legend_text(result), height=3.8) as axes:
            _counts(axes, rows, units, result)
            axes.set(xlabel="dilution", ylabel="beads per field")
        return
    with page.plot(
        _legend_text(result), rows=2, height=5.4, sharex=True, gridspec_kw=ratios
    ) as (axes, below):
        _line(axes, line, rows)
        _counts(axes, rows, units, result)
        axes.set(ylabel="beads per field")
        axes.legend(loc="upper right", fontsize=9)
        _residuals(below, rows, units)


def _counts(axes, rows: list, units: list, result: dict[str, Any]) -> None:
    """Points on log axes; a count of 0 stands on the bottom."""
    seen = [row["per_field"] for row in (*rows, *units) if row["per_field"] > 0]
    bottom = min([*seen, *_levels(result)], default=0.1) / 3
    axes.set(xscale="log", yscale="log")
    at = [row["dilution"] for row in rows]
    ticks = [f"{dilution:g}x" for dilution in at]
    axes.set_xticks(at, ticks)
    axes.minorticks_off()
    y = [max(unit["per_field"], bottom) for unit in units]
    x = [unit["dilution"] for unit in units]
    axes.plot(x, y, "o", color=GREY, ms=4, alpha=0.7, label=f"{result['counted']}s")
    for inside, colour, label in (
        (True, BLUE, "in the line"),
        (False, ORANGE, "left out"),
    ):
        some = [row for row in rows if (row["in_line"] is not False) == inside]
        if not some:
            continue
        middle = np.array([max(row["per_field"], bottom) for row in some])
        ends = np.array([row["between"] or row["poisson"] for row in some])
        ends = np.maximum(ends, bottom)
        spans = np.maximum([middle - ends[:, 0], ends[:, 1] - middle], 0)
        label = label if result["line"] else "dilutions"
        x = [row["dilution"] for row in some]
        axes.errorbar(
            x, middle, spans, fmt="o", color=colour, ms=6, capsize=3, label=label
        )
    if blank := result["blank"]:
        for name, colour in (("detection", RED), ("quantification", GREEN)):
            axes.axhline(
                blank[name], color=colour, lw=1, ls="--", label=f"limit of {name}"
            )
        if blank["level"] > 0:
            axes.axhline(blank["level"], color=GREY, lw=1, ls=":", label="blank")
    top = max([*(row["per_field"] for row in rows), *_levels(result)])
    axes.set_ylim(bottom * 0.8, max(top, bottom) * 3)


def _levels(result: dict[str, Any]) -> list[float]:
    blank = result["blank"] or {}
    names = ("level", "detection", "quantification")
    return [blank[name] for name in names if blank.get(name)]


def _line(axes, line: dict[str, Any], rows: list) -> None:
    """The line and its 95 % band, as `expected` of the rows has them."""
    at = [row["dilution"] for row in rows]
    middle, low, high = np.array([row["expected"] for row in rows]).T
    axes.fill_between(at, low, high, color=BLUE, alpha=0.12, lw=0)
    label = f"line, slope {line['slope']:.2f}"
    axes.plot(at, middle, color=BLUE, lw=1.4, label=label)


def _residuals(axes, rows: list, units: list) -> None:
    axes.axhline(0, color=BLUE, lw=1.2)
    x = [unit["dilution"] for unit in units]
    axes.plot(x, [100 * u["residual"] for u in units], "o", color=GREY, ms=4, alpha=0.7)
    for row in rows:
        colour = BLUE if row["in_line"] else ORANGE
        axes.plot(row["dilution"], 100 * row["residual"], "o", color=colour, ms=6)
    axes.set(xlabel="dilution", ylabel="off the line, %")


def _legend_text(result: dict[str, Any]) -> str:
    beyond = "between" if result["spread"] else "Poisson"
    text = f"Bars: 95 % interval ({beyond}) of a dilution."
    if result["line"]:
        text += " Band: 95 % interval of the line. Below: distance from the line."
    if any(row["count"] == 0 for row in result["dilutions"]):
        text += " A count of 0 stands on the bottom."
    return text


def _caption(result: dict[str, Any]) -> str:
    field = result["field"]
    text = "Per field: of the median image."
    if field["mm2"]:
        text += f" It shows {field['mm2']:.4g} mm²."
    if field["ml"]:
        text += f" It shows {1e6 * field['ml']:.4g} nl."
    return text


def _units(page: Page, result: dict[str, Any]) -> None:
    units = result["replicates"] or result["frames"]
    rows = [
        [
            unit["name"],
            "blank" if unit["dilution"] is None else f"{unit['dilution']:g}x",
            unit["images"],
            unit["count"],
            unit["per_field"],
            f"{unit['poisson'][0]:.3g} to {unit['poisson'][1]:.3g}",
            None
            if unit.get("residual") is None
            else percent(unit["residual"], 1, sign=True),
        ]
        for unit in units[:_ROWS]
    ]
    more = f"{len(units) - _ROWS} more are in the table." if len(units) > _ROWS else ""
    header = [result["counted"], "dilution", "images", "beads", "per field"]
    page.table([*header, "Poisson 95 %", "of the line"], rows, more)


def _meanings(result: dict[str, Any]) -> list[str]:
    independent = result["counted"]
    return [
        f"Independent counts are {independent}s. Crops of one frame share drop, place "
        "and light: they are counted together and are no replicates of each other.",
        "Poisson: the exact 95 % interval of the mean behind a count (Garwood 1936). "
        "It holds where beads lie at random and nothing else varies; of 0 beads it "
        "ends at 3.7.",
        f"Between: what {independent}s of one dilution vary beyond that, as a "
        "coefficient of variation that all dilutions share (negative binomial, Breslow "
        "1984), with Student's t for how surely it is known (Satterthwaite 1946).",
        "Line: log count over log concentration, fitted as a regression of counts with "
        "log link, weighted by their variance mean + a mean²; a from the scatter about "
        "the line. Fields of no bead enter as counts of 0. The level of the blank is "
        "added to the line, not taken from the counts.",
        "Clumping: the share of beads counted falls as exp(-k concentration). "
        f"Dilutions that lose more than {percent(OFF)} by it are left out of the line "
        "where the loss is more than chance, and so is a thinnest dilution off the "
        "line of the others.",
        "Blank level: all beads over all fields of blanks. Limit of detection: "
        f"{DETECTION:g} sigma of the blank above its level, limit of quantification "
        f"{QUANTIFICATION:g} (IUPAC). Sigma: the standard deviation between blanks, "
        "and no less than that of a Poisson count; where blanks hold no bead, of the "
        "largest mean that gives none once in twenty times.",
        "Per mm² and per ml: less the beads that the edge of an image shares with its "
        f"neighbour (factor {result['field']['edge']:.3f}). Undiluted: the slope taken "
        "for 1.",
    ]
