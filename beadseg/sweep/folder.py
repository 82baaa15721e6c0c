"""The sweep folder: what a sweep is, on disk, for any number of processes at once.

sweep.json       base config and points; written once
trials/NNN.json  points that a search has chosen since
members/NNN/     a run folder each; `failed.json` in it if the member ended alone
claims/          who trains which member now
how/             how members of a group run on a kind of device, and why
launch/          batch script and logs, where a cluster runs it
leaderboard.csv  one row per member, best first; made anew whenever a member ends
report.html      curves, effects of the hyperparameters, what to try next
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from beadseg import old_names
from beadseg.config import flatten
from beadseg.errors import BeadsegError
from beadseg.files import read_json, read_json_or_none, write_json, writing
from beadseg.sweep.points import Point, apply, configs, describe
from beadseg.tables import Table, rows_to_table, write_csv
from beadseg.training.run_folder import changed, is_free
from beadseg.training.tracking.summary import SUMMARY, check_summary
from beadseg.training.tracking.tracker import read_rows

SCORES = ("best_jaccard", "best_epoch", "final_jaccard", "final_epoch", "threshold")
SCORES += ("best_f1", "best_count_error", "best_diameter_error")
_FITS: dict[str, Callable[[Any], bool]] = {  # of sweep.json
    "config": lambda value: isinstance(value, dict),
    "lease": lambda value: type(value) in (int, float) and value > 0,
    "name": lambda value: isinstance(value, str),
    "points": lambda value: (
        isinstance(value, list) and all(isinstance(point, dict) for point in value)
    ),
}


class Result(NamedTuple):
    """What is known of a member: `state` is waiting, training, finished or failed."""

    member: int
    point: Point
    state: str
    summary: dict[str, Any]  # empty before the first
    reason: str = ""  # why it failed

    @property
    def jaccard(self) -> float:
        """Best validation Jaccard; -1 where there is none."""
        return self.summary.get("best_jaccard", -1.0)

    @property
    def score(self) -> float:
        """Best score of validation, for ranking; -1 where there is none.

        That is the Jaccard, or F1 of the beads where masks are marks.
        """
        return self.summary.get("best_score", self.jaccard)

    @property
    def measure(self) -> str:
        """The name of that score."""
        return "F1" if self.summary.get("score") == "f1" else "Jaccard"


def fields_of(results: Iterable[Result]) -> list[str]:
    """The fields that points of some results set, each once."""
    return list(dict.fromkeys(field for r in results for field in r.point))


class SweepView:
    """What can be read of a sweep by anyone, at any time."""

    def __init__(self, path: Path):
        """Raises BeadsegError if there is no sweep in the folder."""
        self.path = Path(path)
        content = self.read("sweep.json")
        if content is None:
            raise BeadsegError(
                f"{self.path}: no sweep (no sweep.json in it): give the folder that "
                "was printed as sweep folder"
            )
        wrong = [name for name, fits in _FITS.items() if not fits(content.get(name))]
        if wrong:
            reason = f"no {wrong[0]} in it, or of another version"
            raise _damaged(self.path / "sweep.json", reason)
        self.name: str = content["name"]
        self.lease: float = content["lease"]  # s, see `beadseg.sweep.claims`
        self.fields: dict[str, Any] = content["config"]  # of the base, by dotted names
        self._points: list[Point] = content["points"]

    @property
    def members(self) -> dict[int, Point]:
        """The points by number of their member, those of trials included."""
        found = dict(enumerate(self._points))
        for file in sorted((self.path / "trials").glob("*.json")):
            if file.stem.isdecimal():
                found[int(file.stem)] = old_names.point(
                    self.read(f"trials/{file.name}") or {}
                )
        return found

    def run_path(self, member: int) -> Path:
        """The run folder of a member."""
        return self.path / "members" / f"{member:03d}"

    def result(self, member: int, point: Point) -> Result:
        """What is on disk of a member."""
        path = self.run_path(member)
        summary = _whole_summary(path / SUMMARY)
        failed = read_json_or_none(path / "failed.json")
        if failed is not None:
            reason = str(failed.get("reason", "unknown"))
            return Result(member, point, "failed", summary, reason)
        if summary:
            return Result(member, point, "finished", summary)
        state = "training" if (path / "config.json").exists() else "waiting"
        return Result(member, point, state, {})

    def results(self) -> list[Result]:
        """All members, best first; those without a score last."""
        found = [self.result(number, point) for number, point in self.members.items()]
        return sorted(found, key=lambda r: (r.state == "failed", -r.score, r.member))

    def rows(self, member: int) -> list[dict[str, Any]]:
        """The rows of a member's `metrics.jsonl`."""
        return read_rows(self.run_path(member) / "metrics.jsonl")

    def read(self, name: str) -> Any | None:
        """The content of a JSON file of the sweep, or None where there is none."""
        file = self.path / name
        try:
            return read_json(file)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise _damaged(file, error) from error


class SweepFolder(SweepView):
    """A folder that belongs to one base config and its points."""

    def __init__(self, path: Path, name: str, base: ConfigDict, points: list[Point]):
        """Makes the folder, or opens it to continue.

        Raises:
          BeadsegError: it cannot be written, or belongs to another sweep.
        """
        self.path, self.base = Path(path), base
        self._configs = dict(enumerate(configs(base, points))) if points else {}
        settings = flatten(json.loads(json.dumps(base.to_dict())))
        content = {
            "name": name,
            "config": {k: v for k, v in settings.items() if not is_free(k)},
            "points": json.loads(json.dumps(points)),
            "lease": base.sweep.lease,
        }
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            before = self.read("sweep.json")
            if before is None:
                others = {p.name for p in self.path.iterdir() if p.name[0] != "."}
                if "members" not in others and others - {"launch"}:
                    self._refuse_other_files()
                self.write("sweep.json", content)
            else:
                self._check_same(before, content)
        super().__init__(path)

    def write(self, name: str, content: Any) -> None:
        """Writes a JSON file whole or not at all."""
        file = self.path / name
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, content)

    def config(self, member: int) -> ConfigDict:
        """All settings of a member; those of its run alone."""
        if member not in self._configs:
            point = self.read(f"trials/{member:03d}.json")
            self._configs[member] = apply(self.base, point, f"trial {member}")
        config = self._configs[member]
        config.log.group = config.log.group or self.name
        config.log.job_type = "sweep member"
        return config

    def add_trial(self, member: int, point: Point) -> None:
        """Keeps a point that a search has chosen."""
        self.write(f"trials/{member:03d}.json", point)

    def fail(self, member: int, reason: str) -> None:
        """Notes that a member has ended alone and will not be trained again."""
        self.write(f"members/{member:03d}/failed.json", {"reason": reason})

    def write_leaderboard(self) -> list[Result]:
        """Writes `leaderboard.csv` from what is on disk; any process may, at any time.

        Looks again after writing: where two write at once, the later look wins.
        """
        while True:
            results = self.results()
            with writing(self.path):
                write_csv(self.path / "leaderboard.csv", [_table(results)], digits=None)
            if self.results() == results:
                return results

    def read_mode(self, key: str) -> dict[str, Any] | None:
        """How a group was found to run best before."""
        return read_json_or_none(self.path / "how" / f"{key}.json")

    def write_mode(self, key: str, how: dict[str, Any]) -> None:
        """Keeps how a group runs, so that it goes on so after an interruption."""
        self.write(f"how/{key}.json", how)

    def _check_same(self, before: dict, now: dict) -> None:
        if not all(_FITS[name](before.get(name)) for name in ("config", "points")):
            raise _damaged(self.path / "sweep.json", "no config or points in it")
        for field, how in changed(before["config"], now["config"]):
            raise BeadsegError(
                f"{self.path}: this sweep was begun with {field} = {how}: give the "
                "same config, or another folder with --workdir"
            )
        if before["points"] != now["points"]:
            raise BeadsegError(
                f"{self.path}: this sweep was begun with {len(before['points'])} other "
                "points: give another folder with --workdir"
            )

    def _refuse_other_files(self) -> None:
        if not self.read("sweep.json"):  # another process was first
            raise BeadsegError(
                f"{self.path}: this folder holds other files and no sweep: "
                "give an empty or new folder with --workdir"
            )


def _damaged(file: Path, reason: object) -> BeadsegError:
    return BeadsegError(
        f"{file}: damaged ({reason}): move this one file away and run the same command "
        "again, which continues with the members that are there"
    )


def _whole_summary(file: Path) -> dict[str, Any]:
    """Of a member; empty where the member has yet to end, or to write it again."""
    summary = read_json_or_none(file) or {}
    try:
        check_summary(summary)
    except ValueError:
        return {}
    return summary


def _table(results: list[Result]) -> Table:
    fields = fields_of(results)
    return rows_to_table(
        [
            {"rank": rank, "member": r.member, "state": r.state}
            | {name: r.summary.get(name) for name in (*SCORES, "verdict")}
            | {field: r.point.get(field) for field in fields}
            | {"name": describe(r.point), "reason": r.reason}
            for rank, r in enumerate(results, start=1)
        ]
    )
