"""`config.partial.self_training`: train, complete the masks, train again; nobody looks
on.

In the self-training folder:
  round_0/run    a run on the masks as they are
  round_1/data   the same images, their masks completed by the model of round_0/run
  round_1/run    a run on those; its config.json names its parent
  ...
  rounds.json    what each round had and reached, which is best, why no other followed

Each round completes the masks that a person made, so that what one accepts wrongly the
next may leave out, and trains from scratch. What is proposed and not sure enough to be
accepted stays unknown. Masks given as complete are taken as they are, images without
any stay out.

All rounds validate on the same images with the masks that a person made, corrected for
the same completeness: as given, else as round 0 estimated. No model is judged
by what a model drew. A round follows as long as the one before it added `RISE`.

Where the missing beads are of a kind, such as those in clumps, that correction punishes
a model for finding them: it takes them to be missing by chance. Where it is in use, the
round trained on the most beads is then the best, unless its score falls by `FALL`, and
the next follows as long as more are accepted.
"""

import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from beadseg.data.builders import open_dataset
from beadseg.data.folder import classes_in, scan
from beadseg.data.samples import Sample
from beadseg.data.settings_file import FILE, format_beads_toml, read_beads_toml
from beadseg.errors import BeadsegError
from beadseg.files import (
    folder_lock,
    read_json,
    remove_leftovers,
    user_path,
    write_json,
    write_whole,
    writing,
)
from beadseg.partial import outlining
from beadseg.partial.audit import KINDS
from beadseg.partial.completion import OtherKind, Predict, complete, load_predict
from beadseg.quoting import counted, percent
from beadseg.training.completeness import COMPLETE
from beadseg.training.interrupts import Interrupts
from beadseg.training.loop import Interrupted, train
from beadseg.training.partial_labels import method_of
from beadseg.training.run_folder import ROUNDS
from beadseg.training.state import hyperparameters

RISE = 0.002  # validation Jaccard that a round must add
FALL = 0.1  # that a round has failed, even where the score cannot tell much
COMPLETION = "completion.json"  # in a completed data set: by whom, and how many beads
_KNOWN = {  # what is asked of the files of rounds that are done
    "dataset.json": {"fingerprint": str},
    "split.json": {"validation": list},
    COMPLETION: {"accepted": int, "validated_by": list},
}
_IF_ACCEPTED = {"labelled": int, "proposed": int, "expected_precision": float}


def self_train(config: ConfigDict, workdir: Path, name: str) -> dict[str, Any]:
    """Trains all rounds from where they stand in `workdir`; returns rounds.json.

    Raises:
      BeadsegError: for anything a user can put right, as in `train`.
      Interrupted: after Ctrl-C or SIGTERM, once the round under way is saved.
    """
    hyperparameters(config)
    _check(config, workdir)
    with folder_lock(workdir):
        remove_leftovers(workdir)
        return _rounds(config, workdir, name)


def _rounds(config: ConfigDict, workdir: Path, name: str) -> dict[str, Any]:
    record = _begin(config, workdir)
    config = config.copy_and_resolve_references()
    last, config.partial.self_training = config.partial.self_training, 0
    config.log.group = config.log.group or name
    config.log.job_type = "self-training"
    outlining.prepare(config)
    rounds: list[dict[str, Any]] = []
    why = "the round is done" if last == 1 else f"all {last} rounds are done"
    for number in range(last + 1):
        home, settings, facts = workdir / f"round_{number}", config, {}
        if number:
            parent = workdir / rounds[-1]["run"]
            try:
                facts = _completed(config, parent, home)
            except OtherKind:
                why = f"round {number - 1} finds too few of the labelled beads"
                break
            if facts["accepted"] <= rounds[-1].get("accepted", 0):
                why = f"round {number - 1} is sure of no further bead"
                break
            settings = _settings(config, parent, home, facts)
            print(_accepted(number, facts))
        run = home / "run"
        print(f"round {number} of {last}: {run}")
        summary = train(settings, run, f"{name}-round_{number}")
        own = {"run": f"{home.name}/run", "data": settings.data.dir} | facts
        own |= {"jaccard": summary["best_jaccard"]}
        rounds.append(own | {"validation": summary["validation"]})
        best, stop = best_round(rounds)
        record |= {"best": rounds[best]["run"], "rounds": rounds}
        _write(workdir / ROUNDS, record)
        if stop:
            why = stop
            break
    record["stopped"] = why
    _write(workdir / ROUNDS, record)
    return record


def best_round(rounds: Sequence[Mapping[str, Any]]) -> tuple[int, str]:
    """The best of some rounds, and why none shall follow; "": one shall.

    Args:
      rounds: "jaccard" of each, and "blind_to" where validation cannot tell much.
    """
    scores = [entry["jaccard"] for entry in rounds]
    last = len(rounds) - 1
    blind = any(entry.get("blind_to") for entry in rounds)
    needed = -FALL if blind else RISE
    rise = scores[-1] - max(scores[:-1]) if last else math.inf
    stop = ""
    if rise < needed:
        stop = f"round {last} added {rise:+.4f}, less than {needed}"
    if blind:
        return last - bool(stop), stop
    return scores.index(max(scores)), stop


def sentence(record: dict[str, Any]) -> str:
    """What came of all rounds as one line."""
    scores = [entry["jaccard"] for entry in record["rounds"]]
    best = [entry["run"] for entry in record["rounds"]].index(record["best"])
    gain = f", {scores[best] - scores[0]:+.3f} over round 0" if best else ""
    kind = record["rounds"][best].get("blind_to")
    if kind:
        gain += f", which cannot tell much: {KINDS[kind]} are missing"
    return (
        f"best: round {best} (validation Jaccard {scores[best]:.3f}{gain}); stopped: "
        f"{record['stopped']}"
    )


def blind_to(
    kind: str, shares: Iterable[float | None], estimate: float | None
) -> str | None:
    """The kind of missing beads that validation punishes a model for finding.

    Args:
      kind: what is missing, as `beadseg.partial.audit.missingness` names it.
      shares: completeness of the masks that validate, as given; None: not given.
      estimate: completeness of masks without a given completeness; None: taken as
        complete.

    Returns:
      None where beads are missing by chance, or where validation is not corrected: on
      masks given or taken as complete.
    """
    shares = [share or estimate or 1.0 for share in shares]
    corrected = max(shares, default=1.0) < COMPLETE
    return kind if corrected and kind in KINDS else None


def _check(config: ConfigDict, workdir: Path) -> None:
    """Makes the self-training folder; raises if it or the data cannot be one's."""
    if not config.data.dir:
        raise BeadsegError(
            "config.partial.self_training completes the masks of a folder: give it "
            "with --config.data.dir; beadseg generate writes generated beads into one"
        )
    settings = read_beads_toml(user_path(config.data.dir), str)
    if isinstance(classes_in(config.data, settings), tuple):
        raise BeadsegError(
            "config.partial.self_training needs masks with a number per bead, not "
            "data.classes: beadseg import DIR -o NEW makes them"
        )
    with writing(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        others = {p.name for p in workdir.iterdir()} - {ROUNDS, "launch"}
    if any(not name.startswith(("round_", ".")) for name in others):
        raise BeadsegError(
            f"{workdir}: this folder holds other files and no self-training: give an "
            "empty or new folder with --workdir"
        )


def _begin(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """The record of the folder so far."""
    fresh = {"epochs": config.train.epochs, "best": "round_0/run", "rounds": []}
    file = workdir / ROUNDS
    record = _read(file) if file.exists() else fresh
    record.pop("stopped", None)
    if record.get("epochs") != config.train.epochs:
        raise BeadsegError(
            f"{workdir}: this self-training was made with train.epochs = "
            f"{record.get('epochs')}, not {config.train.epochs}: give the same, or "
            "another folder with --workdir"
        )
    _write(file, record)
    return record


def _settings(
    config: ConfigDict, parent: Path, home: Path, facts: dict[str, Any]
) -> ConfigDict:
    """Of the run of a round: a plain one on its completed data."""
    settings = config.copy_and_resolve_references()
    settings.data.dir = str(home / "data")
    settings.data.validation = tuple(facts["validated_by"])
    settings.partial.completeness = None  # in beads.toml, of the masks that validate
    settings.partial.parent = str(parent)
    return settings


def _completed(config: ConfigDict, parent: Path, home: Path) -> dict[str, Any]:
    """Completes the data for a round, unless that is done; whole or not at all."""
    data = home / "data"
    if (data / COMPLETION).exists():
        return _read(data / COMPLETION)
    trained = _read(parent.parents[1] / "round_0/run/dataset.json")
    if open_dataset(config).fingerprint != trained["fingerprint"]:
        raise BeadsegError(
            f"{config.data.dir}: images or masks have changed since round 0 began: "
            "give another folder with --workdir"
        )
    part = home / "part"  # what a kill left in it goes
    shutil.rmtree(part, ignore_errors=True)
    try:
        with writing(home):
            part.mkdir(parents=True)
        facts = _complete(config, parent, part / "data")
        _write(part / "data" / COMPLETION, facts)
        with writing(home):
            (part / "data").rename(data)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    completed = config.copy_and_resolve_references()
    completed.data.dir = str(data)
    outlining.prepare(completed)
    return facts


def _complete(config: ConfigDict, parent: Path, data: Path) -> dict[str, Any]:
    first = parent.parents[1] / "round_0/run"
    split = _read(first / "split.json")
    held = {record.rsplit("@", 1)[0] for record in split["validation"]}
    samples = [s for s in scan(config.data).samples if s.labelled]
    of_all = config.partial.completeness
    known = {s.name: s.completeness or of_all for s in samples}
    incomplete = [
        s
        for s in samples
        if s.mask and s.name not in held and (known[s.name] or 0.0) < COMPLETE
    ]
    sources = {s.source for s in incomplete}
    others = [s for s in samples if s.source not in sources]
    result: dict[str, Any] = {"accepted": 0}
    if incomplete:
        names = {s.name for s in incomplete}
        accept = config.partial.accept
        with Interrupts() as signals:
            predict = _stoppable(load_predict(parent), signals)
            with writing(data.parents[1]):  # the folder of the round
                result = complete(
                    config.data, data, str(parent), predict, accept, names
                )
            _stop(signals)
    estimate = _estimate(config, first)
    given = {s.source: known[s.name] or (s.name in held and estimate) for s in others}
    completeness = {source: share for source, share in given.items() if share}
    with writing(data):
        _copy(others, data)
        _write_beads_toml(config, data, others, completeness)
    kept = ("labelled", "agreed", "proposed", "accepted", "expected_precision")
    shares = [known[s.name] for s in samples if s.name in held]
    return {
        "parent": str(parent),
        "validated_by": sorted({s.group for s in samples if s.name in held}),
        "asked_precision": config.partial.accept,
        "blind_to": blind_to(result.get("omission", "unknown"), shares, estimate),
        **{field: result[field] for field in kept if field in result},
    }


def _stoppable(predict: Predict, signals: Interrupts) -> Predict:
    def until(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        _stop(signals)
        return predict(image)

    return until


def _stop(signals: Interrupts) -> None:
    if signals.received:
        raise Interrupted(
            f"stopped by {signals.received.name} while masks were completed: the same "
            "command continues with that; the runs so far are saved",
            signals.received,
        )


def _estimate(config: ConfigDict, first: Path) -> float | None:
    """What round 0 took the masks for without a given completeness; None: for
    complete.
    """
    if method_of(config) == "none":
        return None
    share = _read(first / "summary.json").get("completeness")
    return share if isinstance(share, float) and 0 < share < 1 else None


def _copy(samples: Iterable[Sample], data: Path) -> None:
    for sample in samples:
        for task in (sample.image, sample.mask, sample.ignore, sample.points):
            if task is not None:
                folder = data / task.kind
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(task.path, folder / task.path.name)


def _write_beads_toml(
    config: ConfigDict, data: Path, others: list[Sample], known: dict[str, float]
) -> None:
    """Puts groups and completeness of the images that were copied into beads.toml."""
    original = read_beads_toml(Path(config.data.dir).expanduser(), str)
    groups = {s.source: s.group for s in others if s.group != s.source}
    groups |= read_beads_toml(data, str).group
    text = format_beads_toml(replace(original, completeness=known, group=groups))
    if text:
        write_whole(data / FILE, text)


def _accepted(number: int, facts: dict[str, Any]) -> str:
    waiting = facts["proposed"] - facts["accepted"]
    return (
        f"round {number}: {counted(facts['accepted'], 'bead')} accepted beside the "
        f"{facts['labelled']} labelled, {percent(facts['expected_precision'], 1)} of "
        f"them expected to be right; {waiting} stay unknown"
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        found = read_json(file)
        needed = dict(_KNOWN.get(file.name, {}))
        if found.get("accepted"):
            needed |= _IF_ACCEPTED
        for key, kind in needed.items():
            if type(found.get(key)) is not kind:
                raise ValueError(f"no {key} in it")
        return found
    except (OSError, ValueError) as error:
        raise BeadsegError(
            f"{file}: cannot be read ({error}): give another folder with --workdir"
        ) from error


def _write(file: Path, content: dict[str, Any]) -> None:
    with writing(file):
        write_json(file, content)
