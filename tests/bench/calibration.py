"""Do intervals of `beadseg calibrate` hold the truth of drawn dilution series?

python -m tests.bench.calibration

Each design is drawn many times, of Poisson counts alone and with concentrations that
vary between frames (gamma, a CV of 15 %). Of straight series it tells how often the
interval holds the slope (1), the undiluted concentration and the mean of a dilution; of
series that lose beads by clumping, how often the bend is seen and where.
"""

import argparse
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from beadseg.analysis.calibration.blank import blank_of
from beadseg.analysis.calibration.intervals import (
    between_interval,
    poisson_interval,
    spread,
)
from beadseg.analysis.calibration.line import straight_line
from beadseg.analysis.calibration.series import Unit
from tests.bench import record

CV = 0.15  # between frames
THIN = 2.0  # factor between dilutions
GOAL = (0.93, 0.97)


class Design(NamedTuple):
    """How a lab dilutes and counts; `top` beads a frame in the thickest dilution."""

    dilutions: int
    frames: int
    top: float
    blank: float = 0.0  # false beads a frame
    clumping: float = 0.0  # k of the thickest dilution


STRAIGHT = (
    Design(6, 3, 500),
    Design(6, 3, 60),
    Design(6, 1, 500),
    Design(8, 2, 500),
    Design(5, 5, 200),
    Design(6, 3, 200, blank=2),
)
BENT = (Design(6, 3, 700, clumping=0.4), Design(6, 3, 700, clumping=0.8))


def draw(
    design: Design, cv: float, random: np.random.Generator
) -> tuple[list[Unit], list[Unit]]:
    """Frames of a series, and of as many blanks as it has dilutions."""
    units = []
    for step in range(design.dilutions):
        share = THIN**-step
        for frame in range(design.frames):
            mean = design.top * share * math.exp(-design.clumping * share)
            if cv:
                mean *= random.gamma(cv**-2, cv**2)
            count = int(random.poisson(mean + design.blank))
            units.append(Unit(f"{step}.{frame}", THIN**step, 1, count, 1.0))
    blanks = [
        Unit(f"blank {n}", None, 1, int(random.poisson(design.blank)), 1.0)
        for n in range(design.dilutions if design.blank else 0)
    ]
    return units, blanks


def look(design: Design, cv: float, rounds: int, seed: int) -> dict:
    """Shares of `rounds` series."""
    random = np.random.default_rng(seed)
    held: dict[str, list[bool]] = {}
    slopes, bends = [], []
    for _ in range(rounds):
        units, blanks = draw(design, cv, random)
        blank = blank_of(blanks, 1.0) if blanks else None
        line = straight_line(units, (blank.level, blank.error) if blank else (0.0, 0.0))
        slopes.append(line.slope)
        if line.clumping and line.clumping.bends_at:
            bends.append(line.clumping.bends_at)
        found = {
            "slope": [_holds(line.interval, 1)],
            "undiluted": [_holds(line.undiluted_interval, design.top)],
            "left_out": [len(line.strays) > 0 or line.thickest > 1],
        }
        if not cv:
            found["slope_poisson"] = [_holds(line.poisson, 1)]
        for name, values in (found | _means(design, units, cv)).items():
            held.setdefault(name, []).extend(values)
    row = {
        "design": design._asdict(),
        "cv": cv,
        "series": rounds,
        "mean_slope": float(np.mean(slopes)),
        "holds": {name: float(np.mean(values)) for name, values in held.items()},
    }
    if design.clumping:
        at = -math.log(0.9) / design.clumping  # concentration that loses a tenth
        row["bend_seen"] = len(bends) / rounds
        row["bend_over_truth"] = float(np.median(bends) * at) if bends else None
    return row


def _means(design: Design, units: Sequence[Unit], cv: float) -> dict[str, list[bool]]:
    """Of each dilution's mean: the interval that is made for what varies."""
    counts = np.array([float(unit.count) for unit in units])
    exposure = np.ones(len(units))
    varies = spread(counts, exposure, [unit.dilution for unit in units])
    held: dict[str, list[bool]] = {"between": []} if varies else {}
    held |= {} if cv else {"poisson": []}
    for step in range(design.dilutions):
        some = slice(step * design.frames, (step + 1) * design.frames)
        share = THIN**-step
        truth = design.top * share * math.exp(-design.clumping * share) + design.blank
        if varies:
            interval = between_interval(counts[some], exposure[some], varies)
            held["between"].append(_holds(interval, truth))
        if not cv:
            interval = poisson_interval(counts[some].sum())
            held["poisson"].append(_holds(interval, truth * design.frames))
    return held


def _holds(interval: tuple[float, float], truth: float) -> bool:
    return interval[0] <= truth <= interval[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.calibration",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--series", type=int, default=300, help="of a design (300)")
    parser.add_argument("--write", action="store_true", help="keep it in results/")
    options = parser.parse_args()
    todo = [(design, cv) for design in (*STRAIGHT, *BENT) for cv in (0.0, CV)]
    rows = [look(*of, options.series, seed) for seed, of in enumerate(tqdm(todo))]
    straight = [row for row in rows if not row["design"]["clumping"]]
    pooled = {
        kind: {
            name: float(
                np.mean([row["holds"][name] for row in of if name in row["holds"]])
            )
            for name in of[0]["holds"]
        }
        for kind, of in (
            ("poisson", [row for row in straight if not row["cv"]]),
            ("between", [row for row in straight if row["cv"]]),
        )
    }
    found = {"goal": GOAL, "straight": pooled, "rows": rows}
    print(json.dumps(found, indent=2))
    if options.write:
        record.keep("calibration", found)


if __name__ == "__main__":
    main()
