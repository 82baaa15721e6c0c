"""The study on disk: a sweep folder as members, and what was found as numbers."""

import json
from pathlib import Path
from typing import Any

from beadseg.errors import BeadsegError
from beadseg.files import write_whole, writing
from beadseg.sweep.folder import SweepView
from tests.bench.domain_shift.claims import CLAIMS
from tests.bench.domain_shift.study import (
    Effect,
    Member,
    Row,
    Share,
    Study,
    factors_of,
    judge,
    scores_of,
    shares,
)
from tests.bench.domain_shift.together import together

NAME = "study_domain_shift"  # of the config file
TOGETHER = "together.json"  # in the sweep folder: what ensembles score
COMPLETE = {"labelled": 1.0}
LOSSES = ("focal 2", "focal 1", "bce", "dice", "tversky", "combined")


class Reading:
    """A study as it is on disk: its members and their curves."""

    def __init__(self, sweep: SweepView):
        self.side: str = sweep.fields["study"]
        self.planned = len(sweep.members)
        self.members: list[Member] = []
        self.runs: dict[str, list[Path]] = {}  # by factors, of members at their end
        self.curves: list[tuple[dict, list[dict]]] = []
        for result in sorted(sweep.results(), key=lambda r: r.member):
            if result.state != "finished":
                continue
            rows = sweep.rows(result.member)
            rows = [row for row in rows if row["kind"] == "validation"]
            factors = self._factors(result.point)
            self.members.append(Member(factors, result.point["seed"], scores_of(rows)))
            run = sweep.run_path(result.member)
            self.runs.setdefault(repr(factors), []).append(run)
            self.curves.append((factors, rows))
        ends: list[dict] = []
        for point in sweep.members.values():
            factors = self._factors(point)
            if factors not in ends:
                ends.append(factors)
        self.start, self.end = ends[:2]
        if self.side == "sparse":  # so that tests on beads find nothing here
            self.start |= {"objects": "beads", "labelled": 0.5}
            self.end |= {"objects": "beads"}

    def study(self, ensembles: list[dict[str, Any]]) -> Study:
        """All members, and ensembles as pairs of them (`ensembles_of`)."""
        members = list(self.members)
        for number, found in enumerate(ensembles):
            for kind in ("alone", "together"):
                factors = self.start | COMPLETE | {"ensemble": kind == "together"}
                members.append(Member(factors, number, found[kind]))
        return Study(members, self.start, self.end)

    def _factors(self, point: dict) -> dict[str, Any]:
        factors = factors_of(point)
        if self.side == "sparse":
            factors["objects"] = "mitochondria"
        return factors


def ensembles_of(sweep: SweepView, reading: Reading) -> list[dict[str, Any]]:
    """What the seeds of a setting score together and alone; kept in the folder.

    Of the losses on complete masks and of the settings for beads, once all members
    have finished.
    """
    if len(reading.members) < reading.planned:
        return []
    file = sweep.path / TOGETHER
    if file.exists():
        return json.loads(file.read_text())
    wanted = [reading.start | COMPLETE | {"loss": loss} for loss in LOSSES]
    wanted.append(reading.end)
    runs = [reading.runs.get(repr(factors), []) for factors in wanted]
    found = [
        {"loss": factors["loss"], **together(paths)}
        for factors, paths in zip(wanted, runs, strict=True)
        if len(paths) > 2
    ]
    with writing(file):
        write_whole(file, json.dumps(found, indent=2) + "\n")
    return found


def read_study(path: Path) -> tuple[Reading, Study]:
    """The study in a sweep folder, of all members that have finished.

    Raises:
      BeadsegError: no sweep, none of the study, or no member has finished.
    """
    sweep = SweepView(path)
    if sweep.name != NAME:
        raise BeadsegError(
            f"{path}: a sweep of {sweep.name}, not of configs/{NAME}.py: "
            "`beadseg report` writes its page"
        )
    if all(result.state != "finished" for result in sweep.results()):
        raise BeadsegError(
            f"{path}: none of {len(sweep.members)} members has finished: run the "
            "command of the sweep again, which continues it"
        )
    try:
        reading = Reading(sweep)
    except KeyError as error:
        raise BeadsegError(
            f"{path}: a file of this study lacks {error}: it is damaged or of another "
            "version; run the command of the sweep again with this one"
        ) from error
    return reading, reading.study(ensembles_of(sweep, reading))


def numbers(reading: Reading, study: Study) -> dict[str, Any]:
    """What the page of a study says, as numbers."""
    levels = {}
    for name, end in (("mitochondria settings, half", False), ("beads settings", True)):
        for score in ("best at 0.5", "final at 0.5", "best", "final", "threshold"):
            effect = study.level({}, score, end)
            if effect:
                levels[f"{name}: {score}"] = _rounded(effect)
    return {
        "members": len(reading.members),
        "of": reading.planned,
        "levels": levels,
        "collapse": [] if reading.side == "sparse" else _collapse(shares(study)),
        "claims": [_row(row) for row in judge(study, CLAIMS)],
    }


def _row(row: Row) -> dict:
    return {
        "claim": row.claim.said,
        "verdict": row.verdict,
        "tests": [
            {"test": t.test.what, **_rounded(t.effect), "outcome": t.outcome}
            for t in row.tests
            if t.effect
        ],
    }


def _collapse(found: list[Share]) -> list[dict]:
    return [
        {
            "factor": s.factor,
            "put right": _rounded(s.alone),
            "of the way": None if s.undone is None else round(s.undone, 3),
            "put wrong": _rounded(s.back) if s.back else None,
        }
        for s in found
        if s.alone
    ]


def _rounded(effect: Effect) -> dict:
    return {
        "mean": round(effect.mean, 4),
        "interval": round(effect.interval, 4),
        "seeds": effect.count,
    }
