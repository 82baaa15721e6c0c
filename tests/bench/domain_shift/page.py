"""The page of the study: one row per claim, and the collapse factor by factor."""

from pathlib import Path

from beadseg.page import BLUE, GREY, ORANGE, Page
from beadseg.training.tracking.summary import LEARNT
from tests.bench.domain_shift.claims import CLAIMS
from tests.bench.domain_shift.reading import LOSSES, Reading
from tests.bench.domain_shift.study import (
    DOES_NOT,
    HOLDS,
    IN_PART,
    MATTERS,
    Effect,
    Level,
    Row,
    Share,
    Study,
    Tested,
    judge,
    shares,
)

FILE = "study.html"  # in the sweep folder


def write_page(reading: Reading, study: Study, file: Path) -> None:
    """Writes the page of a study, of all members that have finished.

    Raises:
      BeadsegError: the file cannot be written.
    """
    rows = judge(study, CLAIMS)
    holding = sum(row.verdict == HOLDS for row in rows)
    page = Page(
        "Study of the domain shift",
        f"{len(reading.members)} of {reading.planned} members have finished. "
        f"Claims that hold: {holding} of {len(rows)}.",
    )
    _claims(page, rows)
    collapse = study.level({}, "final at 0.5")
    sound = study.level({}, "final at 0.5", end=True)
    if reading.side != "sparse" and collapse and sound:
        peak = study.level({}, "best at 0.5")
        _collapse(page, reading, shares(study), peak, collapse, sound)
        _thresholds(page, study)
    page.write(file, "-o")


def _claims(page: Page, rows: list[Row]) -> None:
    page.section("The claims of the domain-shift analysis")
    page.paragraph(
        "An effect is the mean difference in validation Jaccard over seeds, with a "
        "95 % interval; at threshold 0.5, the best epoch, unless it says otherwise. A "
        "test is shown (✓) if the interval lies on the side that the claim predicts "
        f"and the effect is {MATTERS} or more, refuted (✕) if an effect of {MATTERS} "
        "on that side is outside the interval, else open (?), as where neither setting "
        f"reaches {LEARNT} at its best threshold. A claim holds if all its tests are "
        "shown, in part if some are."
    )
    table = []
    for row in rows:
        run = [t for t in row.tests if t.effect is not None]
        said = row.claim.said + (f" ({row.claim.remark})" if row.claim.remark else "")
        tests = "; ".join(t.test.what for t in run)
        table.append([said, tests, "; ".join(map(told, run)), row.verdict])
    page.table(["claim", "test", "effect", "verdict"], table)
    counts = {v: sum(r.verdict == v for r in rows) for v in (HOLDS, IN_PART, DOES_NOT)}
    page.numbers([(verdict, count, "claims") for verdict, count in counts.items()])


def told(tested: Tested) -> str:
    """An effect with its interval and its outcome."""
    sign = {"shown": "✓", "refuted": "✕", "open": "?"}.get(tested.outcome, "")
    return f"{_text(tested.effect, not isinstance(tested.test, Level))} {sign}".strip()


def _collapse(
    page: Page,
    reading: Reading,
    found: list[Share],
    peak: Effect,
    low: Effect,
    high: Effect,
) -> None:
    page.section("The collapse, factor by factor")
    page.paragraph(
        "With settings for mitochondria, half-labelled beads end at a Jaccard of "
        f"{_text(low)} at threshold 0.5, which at its peak was {_text(peak)}; with "
        f"settings for beads, complete masks end at {_text(high)}. Each factor alone, "
        "in both directions:"
    )
    alone = [s for s in found if s.alone is not None]
    names = [_change(s.factor, reading) for s in alone]
    with page.plot(
        "Jaccard at 0.5 after the last epoch. Left: one factor of the collapse is put "
        "right. Right: one factor is put wrong in the settings for beads. Dotted: both "
        "ends. Lines: 95 % intervals.",
        1,
        2,
        width=9.2,
        height=3.6,
        sharey=True,
    ) as axes:
        for axis, start, effects, colour in (
            (axes[0], low.mean, [s.alone for s in alone], BLUE),
            (axes[1], high.mean, [s.back for s in alone], ORANGE),
        ):
            for height, effect in enumerate(effects):
                if effect is not None:
                    axis.barh(height, effect.mean, left=start, color=colour)
                    reach = [start + effect.mean + s * effect.interval for s in (-1, 1)]
                    axis.plot(reach, [height, height], color=GREY)
            for end in (low.mean, high.mean):
                axis.axvline(end, color=GREY, linestyle=":")
            axis.set(yticks=range(len(names)), xlim=(-0.02, 1.0), xlabel="Jaccard")
        axes[0].set_yticks(range(len(names)), names)
        axes[0].set_title("put right alone")
        axes[1].set_title("put wrong alone")
        axes[0].invert_yaxis()
    page.table(
        ["factor", "put right", "of the way", "put wrong"],
        [
            [
                name,
                _text(s.alone, True),
                None if s.undone is None else f"{s.undone:.0%}",
                _text(s.back, True) if s.back else None,
            ]
            for s, name in zip(alone, names, strict=True)
        ],
    )
    _curves(page, reading)


def _change(factor: str, reading: Reading) -> str:
    """A factor, from the settings for mitochondria to those for beads."""
    if factor not in reading.end:
        return {"threshold": "threshold: 0.5 → best"}.get(factor, factor)
    values = (reading.start[factor], reading.end[factor])
    before, after = (f"{v:g}" if isinstance(v, float) else str(v) for v in values)
    return f"{factor}: {before} → {after}"


def _curves(page: Page, reading: Reading) -> None:
    close = reading.start | {"crops": 32}
    with page.plot(
        "Half-labelled beads with the settings for mitochondria, a line a seed, at "
        "threshold 0.5 and at the best threshold of the same weights.",
        1,
        2,
        width=9.2,
        height=3.0,
        sharey=True,
    ) as axes:
        for axis, factors, title in (
            (axes[0], close, "first steps"),
            (axes[1], reading.start, "the whole training"),
        ):
            for at, rows in reading.curves:
                if at == factors:
                    steps = [row["step"] for row in rows]
                    for field, colour in (("jaccard", BLUE), ("jaccard_at_0.5", GREY)):
                        axis.plot(steps, [row[field] for row in rows], color=colour)
            axis.plot([], [], color=BLUE, label="best threshold")
            axis.plot([], [], color=GREY, label="threshold 0.5")
            axis.set(title=title, xlabel="step", ylim=(0, 1))
        axes[0].set_ylabel("validation Jaccard")
        axes[1].legend()


def _thresholds(page: Page, study: Study) -> None:
    """Loss by completeness, at 0.5 and calibrated."""
    labelled = (1.0, 0.8, 0.5, 0.2)
    rows = []
    for name, change in [
        *((loss, {"loss": loss}) for loss in LOSSES),
        ("focal 2, loss for gaps", {"method": "auto"}),
    ]:
        cells = []
        for share in labelled:
            at = [
                study.level(change | {"labelled": share}, score)
                for score in ("best at 0.5", "best")
            ]
            cells.append(" / ".join(f"{e.mean:.3f}" for e in at if e) or None)
        if any(cells):
            rows.append([name, *cells])
    page.section("Loss, completeness and threshold")
    page.table(
        ["loss", *(f"{share:.0%} labelled" for share in labelled)],
        rows,
        "Validation Jaccard at 0.5 / at the best threshold, mean over seeds.",
    )


def _text(effect: Effect | None, signed: bool = False) -> str:
    if effect is None:
        return ""
    mean = f"{effect.mean:+.3f}" if signed else f"{effect.mean:.3f}"
    return mean if effect.count < 2 else f"{mean} ± {effect.interval:.3f}"
