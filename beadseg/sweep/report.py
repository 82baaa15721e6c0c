"""The page of a sweep: leaderboard, curves, effects of the fields, what to try next."""

import math
import shlex
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from beadseg.page import COLOURS, GREY, Page
from beadseg.quoting import counted, for_plot
from beadseg.sweep.folder import Result, SweepView, fields_of
from beadseg.sweep.points import Point, describe, short
from beadseg.training.tracking.curves import draw_curve

_SHOWN = 12  # settings in the plot of curves
_LABEL = 80  # letters of a setting that fit below the curves
_ACROSS = 8  # settings that fit side by side


class Effect(NamedTuple):
    """Mean score of the members with one value of a field, all else as in the rest."""

    value: Any
    count: int
    mean: float
    interval: float | None  # half of the 95 % interval; None of one member


class Setting(NamedTuple):
    """Members that differ in their seed alone."""

    point: Point  # without the seed
    members: list[Result]
    mean: float  # score
    interval: float | None  # as of an effect

    def __str__(self):
        return describe(self.point) or "the base settings"

    @property
    def given(self) -> str:
        """The mean with its interval."""
        return _mean(self.mean, self.interval)


def settings_of(results: Sequence[Result]) -> list[Setting]:
    """Finished members grouped by all but their seed, the best mean first."""
    groups: dict[str, list[Result]] = defaultdict(list)
    for r in results:
        rest = {k: v for k, v in r.point.items() if k != "seed"}
        groups[repr(sorted(rest.items()))].append(r)
    found = []
    for members in groups.values():
        point = {k: v for k, v in members[0].point.items() if k != "seed"}
        mean, interval = _mean_of([r.score for r in members])
        found.append(Setting(point, members, mean, interval))
    return sorted(found, key=lambda s: -s.mean)


def winner(settings: Sequence[Setting]) -> Setting | None:
    """The setting whose interval lies above those of all others, if there is one."""
    best, *others = settings
    if not others or any(s.interval is None for s in settings):
        return None
    least = best.mean - best.interval
    return best if all(s.mean + s.interval < least for s in others) else None


def effects(results: Sequence[Result]) -> dict[str, list[Effect]]:
    """For each field that varies, the score at each of its values.

    The spread includes what the other fields do: an interval that overlaps another says
    that the sweep cannot tell the two values apart.
    """
    found = {}
    for field in _varied(results):
        at: dict[str, list[Result]] = defaultdict(list)
        for r in results:
            at[repr(r.point.get(field))].append(r)
        rows = []
        for members in at.values():
            mean = _mean_of([r.score for r in members])
            rows.append(Effect(members[0].point.get(field), len(members), *mean))
        found[field] = sorted(rows, key=lambda e: _order(e.value))
    return found


def advice(results: Sequence[Result]) -> list[str]:
    """What to try next, read off the finished members."""
    lines = []
    best = results[0]
    if best.summary.get("verdict") == "still rising":
        lines.append(
            "The best member was still rising: give it more with "
            "`--config.train.epochs`."
        )
    for field, rows in effects(results).items():
        top = max(rows, key=lambda e: e.mean)
        if any(_overlap(e, top) for e in rows if e is not top):
            lines.append(
                f"`{field}`: the intervals of its values overlap: more seeds, or more "
                "values, would tell."
            )
            continue
        numeric = all(isinstance(e.value, int | float) for e in rows)
        if numeric and len(rows) > 1 and top in (rows[0], rows[-1]):
            where = "lower" if top is rows[0] else "higher"
            lines.append(
                f"`{field}`: the best of the values tried is the {where[:-2]}est, "
                f"{top.value:g}: try {where} ones."
            )
        if all(e.interval is None for e in rows):
            lines.append(
                f"`{field}`: one member a value: add `seed` to the sweep to tell an "
                "effect from chance."
            )
    return lines


def _overlap(one: Effect, other: Effect) -> bool:
    if one.interval is None or other.interval is None:
        return False
    return abs(one.mean - other.mean) <= one.interval + other.interval


def write_report(path: Path) -> Path:
    """Writes `report.html` in a sweep folder, of all members that have finished.

    Raises:
      BeadsegError: there is no sweep in the folder, or it cannot be written.
    """
    sweep = SweepView(path)
    name, results = sweep.name, _with_inherited(sweep)
    done = [r for r in results if r.state == "finished"]
    page = Page(f"Sweep {name}", _lead(results, done))
    for r in results:
        if r.state == "failed":
            page.callout("bad", r.reason, f"Member {r.member:03d} ended alone.")
    if done:
        _settings(page, settings_of(done))
        _leaderboard(page, results)
        _curves(page, sweep, settings_of(done))
        if _varied(done):
            if len(_varied(done)) <= _ACROSS:
                _parallel(page, done)
            _effects(page, done)
        _next(page, path, done)
    file = path / "report.html"
    page.write(file)
    return file


def _lead(results: list[Result], done: list[Result]) -> str:
    if not done:
        return f"None of {counted(len(results), 'member')} has finished yet."
    text = (
        f"{len(done)} of {counted(len(results), 'member has', 'members have')} "
        "finished. "
    )
    settings, measure = settings_of(done), f"validation {done[0].measure}"
    best = settings[0]
    if len(done) == len(settings):
        text += f"Best: {describe(done[0].point) or 'the base settings'}, {measure} "
        text += f"{done[0].score:.3f}"
        return text + ("." if len(done) == 1 else ", by one seed: chance may decide.")
    seeds = f"{measure} {best.given} over {counted(len(best.members), 'seed')}"
    if len(settings) == 1:
        return f"{text}{best}: mean {seeds}."
    if winner(settings):
        return f"{text}Better than all others: {best}, mean {seeds}."
    return (
        f"{text}None is better than all others beyond chance, for intervals overlap or "
        f"lack seeds. The highest mean: {best}, {seeds}."
    )


def _with_inherited(sweep: SweepView) -> list[Result]:
    """The results; a field that a point leaves as the base has it shows that value."""
    results = sweep.results()
    fields = fields_of(results)
    base = {f: sweep.fields[f] for f in fields if f in sweep.fields}
    return [
        r._replace(point={f: (base | r.point).get(f) for f in fields}) for r in results
    ]


def _settings(page: Page, settings: list[Setting]) -> None:
    if all(s.interval is None for s in settings):
        return
    page.section("Settings")
    page.table(
        ["setting", "seeds", f"mean of best {settings[0].members[0].measure}"],
        [[str(s), len(s.members), s.given] for s in settings],
        "Mean over seeds, with its 95 % interval (Student's t). Those whose intervals "
        "overlap cannot be told apart.",
    )


def _leaderboard(page: Page, results: list[Result]) -> None:
    page.section("Leaderboard")
    fields = fields_of(results)
    rows = []
    for rank, r in enumerate(results, start=1):
        s = r.summary
        score = f"{r.jaccard:.3f}" if s else None
        found = s.get("best_f1")
        f1 = None if found is None else f"{found:.3f}"
        final = f"{s['final_jaccard']:.3f}" if s else None
        values = [short(r.point.get(f)) for f in fields]
        verdict = s.get("verdict", r.state) if r.state == "finished" else r.state
        row = [rank, f"{r.member:03d}", *values, score, f1, s.get("best_epoch"), final]
        rows.append([*row, verdict])
    page.table(
        ["", "member", *fields, "best Jaccard", "F1", "at epoch", "final Jaccard"]
        + ["verdict"],
        rows,
        "Jaccard of the validation images, pooled, at each member's own threshold; F1 "
        "of the beads found on them.",
    )


def _curves(page: Page, sweep: SweepView, settings: list[Setting]) -> None:
    page.section("Curves")
    caption = "Validation Jaccard after each epoch."
    if any(len(s.members) > 1 for s in settings):
        caption += " A colour is a setting, a line one of its seeds."
    if len(settings) > _SHOWN:
        caption += f" The best {_SHOWN} in colour, the others grey."
    named = min(len(settings), _SHOWN)
    with page.plot(caption, height=3.6 + 0.2 * named) as axes:
        for rank, setting in reversed(list(enumerate(settings))):
            shown = rank < _SHOWN
            for member in setting.members:
                first = shown and member is setting.members[0]
                draw_curve(
                    axes,
                    [r for r in sweep.rows(member.member) if r["kind"] == "validation"],
                    "jaccard",
                    color=COLOURS[rank % len(COLOURS)] if shown else GREY,
                    linestyle=("-", "--")[rank // len(COLOURS) % 2],
                    alpha=1.0 if shown else 0.3,
                    label=_label(setting) if first else None,
                )
        axes.set(xlabel="Epoch", ylabel="Validation Jaccard")
        handles, labels = axes.get_legend_handles_labels()
        if handles:  # below: wherever it lay in the plot, it would lie on some curve
            axes.figure.legend(
                handles[::-1], labels[::-1], fontsize=8, loc="outside lower left"
            )


def _label(setting: Setting) -> str:
    text = for_plot(str(setting))
    if len(text) > _LABEL:
        members = ", ".join(f"{m.member:03d}" for m in setting.members)
        text = f"member{'s' * (len(setting.members) > 1)} {members}"
    return f"{text}: {setting.given}"


def _parallel(page: Page, done: list[Result]) -> None:
    page.section("Members")
    fields = _varied(done)
    columns = [[short(r.point.get(f)) for r in done] for f in fields]
    orders = [
        {
            short(v): i
            for i, v in enumerate(sorted({r.point.get(f) for r in done}, key=_order))
        }
        for f in fields
    ]
    scores = np.array([r.score for r in done])
    span = max(scores.max() - scores.min(), 1e-9)

    def label(axes: Any, x: int, y: float, text: str) -> None:
        """Beside the lines: left of the first axis, right of the last, else outside."""
        side = {0: -1, len(fields): 1}.get(x, 0)
        up = 1 if y >= 0.5 else -1
        axes.annotate(
            for_plot(text),
            (x, y),
            xytext=(6 * side, 0 if side else 5 * up),
            textcoords="offset points",
            fontsize=8,
            ha=("center", "left", "right")[side],
            va="center" if side else {1: "bottom", -1: "top"}[up],
        )

    with page.plot(
        "One line per member, from its settings to its score; the best are strongest.",
        height=3.8,
    ) as axes:
        for i in reversed(range(len(done))):
            height = [
                order[column[i]] / max(len(order) - 1, 1)
                for order, column in zip(orders, columns, strict=True)
            ]
            share = (scores[i] - scores.min()) / span
            axes.plot(
                range(len(fields) + 1),
                [*height, share],
                color=COLOURS[0] if share > 0.67 else GREY,
                alpha=0.25 + 0.7 * share,
            )
        for x, order in enumerate(orders):
            for text, at in order.items():
                label(axes, x, at / max(len(order) - 1, 1), text)
        for y, score in ((0, scores.min()), (1, scores.max())):
            label(axes, len(fields), y, f"{score:.3f}")
        axes.set_xticks(range(len(fields) + 1), [*fields, "Jaccard"])
        axes.set_yticks([])
        axes.set_xlim(-0.3, len(fields) + 0.3)
        axes.set_ylim(-0.15, 1.15)
        axes.spines[["left", "bottom"]].set_visible(False)


def _effects(page: Page, done: list[Result]) -> None:
    page.section("Effect of each setting")
    page.paragraph(
        "Mean of the best Jaccard of all members with a value, with a 95 % interval "
        "where there are several. The spread includes what the other settings do: "
        "values whose intervals overlap cannot be told apart by this sweep."
    )
    rows = []
    for field, found in effects(done).items():
        for e in found:
            mean = _mean(e.mean, e.interval)
            rows.append([f"`{field}`", short(e.value), e.count, mean])
    page.table(["setting", "value", "members", "mean of best Jaccard"], rows)


def _next(page: Page, path: Path, done: list[Result]) -> None:
    page.section("What to try next")
    lines = advice(done)
    if lines:
        page.items(lines)
    else:
        page.paragraph("The best settings lie inside the ranges tried.")
    page.paragraph("To find beads with the three best members together:")
    folder, top = shlex.quote(str(path)), min(3, len(done))
    page.command(f"beadseg predict IMAGES --run {folder} --top {top}")


def _varied(results: Sequence[Result]) -> list[str]:
    """Fields of which there are several values, but the seed."""
    return [
        f
        for f in fields_of(results)
        if f != "seed" and len({repr(r.point.get(f)) for r in results}) > 1
    ]


def _order(value: Any) -> tuple[int, float, str]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 0, float(value), ""
    return 1, 0.0, str(value)


def _mean_of(scores: list[float]) -> tuple[float, float | None]:
    """The mean, and half of its 95 % interval by Student's t; None of one score."""
    from scipy import stats

    count = len(scores)
    if count < 2:
        return scores[0], None
    error = np.std(scores, ddof=1) / math.sqrt(count)
    return float(np.mean(scores)), float(stats.t.ppf(0.975, count - 1) * error)


def _mean(mean: float, interval: float | None) -> str:
    return f"{mean:.3f}" + ("" if interval is None else f" ± {interval:.3f}")
