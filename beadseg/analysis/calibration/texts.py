"""What a calibration says, in sentences and in a table to be read."""

from collections.abc import Sequence
from typing import Any

from beadseg.analysis.calibration.blank import DETECTION, QUANTIFICATION
from beadseg.analysis.calibration.line import OFF
from beadseg.quoting import counted, percent, some_of

UNITS = (("per_field", "field"), ("per_mm2", "mm2"), ("per_ml", "ml"))


def sentence(result: dict[str, Any]) -> str:
    """The one to read if nothing else is."""
    line = result["line"]
    beads = sum(row["count"] for row in result["dilutions"])
    units = sum(row["replicates"] or row["frames"] for row in result["dilutions"])
    what = (
        f"{counted(beads, 'bead')} in {counted(units, result['counted'])} of "
        f"{counted(len(result['dilutions']), 'dilution')}"
    )
    if line is None:
        return f"{what}: no line"
    low, high = line["interval"] if line["df"] else line["interval_poisson"]
    fit = (
        "consistent with counts proportional to concentration"
        if line["proportional"]
        else "so counts are not proportional to concentration"
    )
    text = f"{what}: slope {line['slope']:.3f} ({low:.3f} to {high:.3f}), {fit}"
    if line["linear_range"]:
        thick, thin = line["linear_range"]
        text += (
            f", linear from {thick['dilution']:g}x ({thick['per_field']:.3g} beads per "
            f"field) to {thin['dilution']:g}x ({thin['per_field']:.3g})"
        )
    return text


def says(result: dict[str, Any]) -> list[str]:
    """What there is to say beside the main sentence."""
    lines = [of_stray(stray) for stray in result["strays"]]
    if result["clumping"]:
        lines.append(of_clumping(result["clumping"]))
    if blank := result["blank"]:
        lines.append(_of_blank(blank, result["field"]["fields_of_one"]))
    if spread := result["spread"]:
        more = "more than" if spread["more_than_poisson"] else "no more than"
        lines.append(
            f"{result['counted']}s of a dilution vary {more} Poisson's distribution "
            f"says (CV beyond it {percent(spread['cv'])}, chi-squared "
            f"{spread['chi_squared_by_df']:.1f} per degree of freedom, p "
            f"{spread['p']:.2g})"
        )
    if (within := result["within_frames"]) and within["more_than_poisson"]:
        lines.append(
            f"the crops of a frame vary by {percent(within['cv'])} beyond Poisson's "
            "distribution: beads lie unevenly in it"
        )
    if line := result["line"]:
        low, high = line["interval_poisson"]
        lines.append(
            f"slope by Poisson's distribution alone: {low:.3f} to {high:.3f}; above, "
            "it is from how far the counts lie from the line"
        )
        for name, unit in UNITS[::-1]:
            if of := line["undiluted"][name]:
                low, high = of["interval"]
                lines.append(
                    f"undiluted: {of['value']:.3g} beads per {unit} ({low:.3g} to "
                    f"{high:.3g}), the slope taken for 1"
                )
                break
    return lines


def of_clumping(clumping: dict[str, Any]) -> str:
    """What clumping takes, and from where on."""
    low, high = (percent(max(end, 0)) for end in clumping["interval"])
    lost = (
        f"{percent(max(clumping['lost'], 0))} of the beads ({low} to {high}) are lost "
        f"at {clumping['dilution']:g}x, where they touch or hide each other"
    )
    if clumping["bends_at"] is None:
        return f"no bend by clumping is certain: {lost}"
    if not clumping["left_out"]:
        return f"{lost}, and too few dilutions are thinner to leave it out"
    return (
        f"{lost}; {percent(OFF)} are from {clumping['per_field']:.3g} beads per field "
        f"on: count at {clumping['count_from']:g}x or thinner"
    )


def of_stray(stray: dict[str, Any]) -> str:
    """Which dilution is off the line, and what that may be."""
    side, reason = (
        ("below", "beads are missed or lost, or the dilution is another than said")
        if stray["deviation"] < 0
        else ("above", "false beads, or beads of the liquid: photograph a blank")
    )
    return (
        f"{stray['dilution']:g}x ({stray['per_field']:.3g} beads per field) is "
        f"{percent(abs(stray['deviation']))} {side} the line of the others and left "
        f"out of it: {reason}"
    )


def _of_blank(blank: dict[str, Any], fields: float) -> str:
    low, high = blank["interval"]
    text = f"blank: {blank['level']:.3g} beads per field ({low:.2g} to {high:.2g})"
    for name in ("detection", "quantification"):
        text += f", limit of {name} {blank[name]:.3g}"
        if at := blank[f"{name}_dilution"]:
            text += f" (reached at {float(f'{at:.3g}'):,.0f}x)"
    return (
        f"{text}: {DETECTION:g} and {QUANTIFICATION:g} sigma above it; sigma "
        f"{blank['sigma']:.2g} is that of a count of {fields:.3g} fields "
        f"({blank['sigma_from']})"
    )


def left_out(result: dict[str, Any]) -> list[str]:
    """A line on the images without a dilution, if there are any."""
    names = result["left_out"]
    said = f"{counted(len(names), 'image')} left out, no dilution: {some_of(names, 3)}"
    return [said] if names else []


def dilution_table(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the dilutions, to be read."""
    rows = result["dilutions"]
    between = any(row["between"] for row in rows)
    units = [(name, unit) for name, unit in UNITS[1:] if result["field"][unit]]
    header = ["dilution", "images", f"{result['counted']}s", "beads", "per field"]
    header += ["Poisson 95 %", *(["between 95 %"] if between else [])]
    header += [f"per {unit}" for _, unit in units]
    header += ["of the line", "remark"]
    lines = []
    for row in rows:
        cells = [f"{row['dilution']:g}x", str(row["images"])]
        cells += [str(row["replicates"] or row["frames"]), str(row["count"])]
        cells += [f"{row['per_field']:.4g}", _ends(row["poisson"])]
        cells += [_ends(row["between"])] if between else []
        cells += [f"{row[name]:.3g}" for name, _ in units]
        residual = row["residual"]
        cells += [
            "" if residual is None else percent(residual, 1, sign=True),
            _remark(row, result),
        ]
        lines.append(cells)
    return header, lines


def _remark(row: dict[str, Any], result: dict[str, Any]) -> str:
    if row["above_detection"] is False:
        return "below detection"
    if row["in_line"] is False:
        strays = [stray["dilution"] for stray in result["strays"]]
        return "off the line" if row["dilution"] in strays else "clumping"
    return "below quantification" if row["above_quantification"] is False else ""


def _ends(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.3g} to {interval[1]:.3g}"
