"""`beadseg diagnose RUN`: why predictions are poor, and what to do about it."""

import argparse
import re
import shlex
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from beadseg.commands import Subparsers, share
from beadseg.quoting import percent


def add(commands: Subparsers) -> None:
    """Adds the parser of the command."""
    parser = commands.add_parser(
        "diagnose",
        help="why a run predicts poorly, ranked, and the command that fixes it",
        description="Looks at the curves of a run and at what its network makes of its "
        "validation images. Ranks the causes of poor predictions, each with numbers, "
        "pictures, confidence and what to run next. Exit code 1 if there is a cause, "
        "or if no image could be looked at.",
    )
    parser.add_argument("folder", metavar="run", type=Path, help="the folder of a run")
    parser.add_argument("--data", type=Path, help="the images, where they have moved")
    parser.add_argument(
        "--images", type=int, default=16, help="validation tiles to look at (16)"
    )
    share(parser, "-o", "page to write (RUN/diagnosis.html)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> dict:
    """Looks, ranks, prints and writes a page; returns the causes and their numbers."""
    from beadseg.analysis.diagnosis.causes import CAUSES, diagnose
    from beadseg.analysis.diagnosis.page import COLUMNS, no_cause, write_page
    from beadseg.analysis.diagnosis.run_evidence import examine_run
    from beadseg.analysis.fingerprint import plain
    from beadseg.errors import BeadsegError

    if options.images < 1:
        raise BeadsegError(f"--images {options.images}: give at least 1")
    folder = options.folder
    looked = examine_run(folder, options.data, options.images)
    e = looked.evidence
    found = [
        finding._replace(command=_filled(finding.command, folder, looked.config))
        for finding in diagnose(e)
    ]
    name = folder.resolve().name
    page = options.output or folder / "diagnosis.html"
    write_page(page, name, found, e, looked.images, looked.notes)
    for note in looked.notes:
        print(note)
    if not found:
        print(no_cause(e))
    for number, finding in enumerate(found, 1):
        print(
            f"{number}. {CAUSES[finding.cause].title} ({percent(finding.confidence)})"
        )
        print(f"   {finding.because}")
        print(f"   {finding.remedy}")
        print(f"   {finding.command}")
    print(f"page: {page}")
    result = {
        "findings": [finding._asdict() for finding in found],
        "notes": list(looked.notes),
        "threshold": e.threshold,
        "exit_code": int(bool(found) or not e.rows),
    }
    if e.rows:
        result |= {name: int(e.total(name)) for name in COLUMNS}
        result |= {"jaccard": e.jaccard_at(e.threshold), "best_jaccard": e.best[0]}
    return plain(result)


def _filled(command: str, folder: Path, config: ConfigDict) -> str:
    """The command with the run, its data and its own settings."""
    data = shlex.quote(config.data.dir) if config.data.dir else "DIR"
    words = {"DIR": data, "RUN": shlex.quote(str(folder))}
    if "CONFIG" in command:
        given = re.findall(r"--config\.([\w.]+)=", command)
        words["--config=CONFIG"] = " ".join(_settings(config, given))
    # All at once: what is put in may hold such a word itself.
    pattern = "|".join(map(re.escape, words))
    return re.sub(pattern, lambda found: words[found[0]], command)


def _settings(config: ConfigDict, given: Sequence[str]) -> list[str]:
    """Flags of training that give the settings of a run, but for the fields `given`.

    The config of those that come with beadseg that differs least, then the fields in
    which the run differs from it.
    """
    from beadseg.config import ROOT, base_config, load_module

    base = _shaping(base_config())
    own = {f: _at(config, f, v) for f, v in base.items() if f not in given}
    nearest, least = "base", {f: v for f, v in own.items() if v != base[f]}
    for file in sorted((ROOT / "configs").glob("*.py")):
        module = load_module(str(file))
        if hasattr(module, "sweep") or hasattr(module, "space"):
            continue
        other = _shaping(module.get_config())
        differing = {f: v for f, v in own.items() if v != other[f]}
        # No flag sets a field to None.
        if len(differing) < len(least) and None not in differing.values():
            nearest, least = file.stem, differing
    flags = [f"--config=configs/{nearest}.py"]
    if config.data.dir:
        flags.append(f"--config.data.dir={shlex.quote(config.data.dir)}")
    fields = (f"--config.{f}={v}" for f, v in least.items() if v is not None)
    return [*flags, *map(shlex.quote, fields)]


def _at(config: ConfigDict, field: str, usual: Any) -> Any:
    """A field of a config, which may lack it as those of old runs do."""
    try:
        value = attrgetter(field)(config)
    except AttributeError:
        return usual
    return tuple(value) if isinstance(value, list) else value


def _shaping(config: ConfigDict) -> dict[str, Any]:
    """The fields that shape a run, by name, but for its data."""
    from beadseg.config import flatten
    from beadseg.training.run_folder import is_free

    return {
        field: tuple(value) if isinstance(value, list) else value
        for field, value in flatten(config.to_dict()).items()
        if not (is_free(field) or field.startswith("log.") or field == "data.dir")
    }
