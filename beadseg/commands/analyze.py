"""`beadseg analyze DIR`: what the data are, and which settings suit them."""

import argparse
import re
import shlex
from pathlib import Path

from beadseg.commands import Subparsers, share

# Of the data, for which the command has options.
_FIELD = re.compile(r"(?<![\w./-])data\.(channel|group_pattern)(?![\w./-])")


def add(commands: Subparsers) -> None:
    """Adds the parser of the command."""
    parser = commands.add_parser(
        "analyze",
        help="look at images and masks, and recommend settings",
        description="Measures every image and mask: objects, coverage, sizes, light, "
        "noise, defects of masks, masks that belong to another image, are turned or "
        "mean something else than beads, crops of one frame, copies. Says whether the "
        "data are sparse or dense and writes a page, analysis.json and recommended.py.",
    )
    share(parser, "dir", "a folder with images/")
    parser.add_argument("--config", help="settings to check, such as configs/focal.py")
    share(parser, "-o", "folder for what is written (DIR-analysis)")
    parser.add_argument("--channel", type=int, help="of several")
    parser.add_argument("--group-pattern", default="", help="as data.group_pattern")
    # Taken, for scripts that give it; the network takes all cores by itself.
    parser.add_argument("--processes", type=int, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> dict:
    """Measures, prints in plain words, writes; returns all numbers."""
    from beadseg.analysis.analysis_page import write_page
    from beadseg.analysis.fingerprint import take_fingerprint
    from beadseg.analysis.overview import look_over
    from beadseg.analysis.recommendation import FILE, remove_config, write_config
    from beadseg.analysis.regime import regime
    from beadseg.analysis.rules import complain
    from beadseg.config import base_config, load_config
    from beadseg.data.folder import scan, trusted
    from beadseg.errors import BeadsegError
    from beadseg.files import output_folder, write_json, write_whole, writing

    given = load_config(options.config) if options.config else None
    config = base_config()
    data = config.data
    data.dir = str(options.dir)
    data.channel = options.channel
    data.group_pattern = options.group_pattern
    try:
        folder = trusted(scan(data))
    except BeadsegError as error:
        raise BeadsegError(_with_options(str(error))) from None
    folder = folder._replace(
        problems=tuple(map(_with_options, folder.problems)),
        notes=tuple(map(_with_options, folder.notes)),
    )
    if not folder.samples:
        raise BeadsegError(
            f"{folder.path}: none of its images can be read: {folder.problems[0]}"
        )
    name = folder.path.resolve().name
    output = options.output or Path(f"{name}-analysis")
    with writing(output, "-o"):
        output.mkdir(parents=True, exist_ok=True)
    fingerprint = take_fingerprint(
        folder,
        data.validation_fraction,
        data.split_seed,
        data.density_bins,
    )
    if not fingerprint.rows:
        raise BeadsegError(
            f"{folder.path}: none of its images can be measured: "
            f"{fingerprint.problems[0]}"
        )
    overview = look_over(fingerprint)
    found = regime(overview)
    complaints = None if given is None else complain(given, overview)
    reason = _why_not_train(folder, overview)
    file = None if reason else output / FILE
    result = _result(fingerprint, overview, found, complaints)
    with output_folder(output) as part:
        if file:
            text = write_config(overview, folder.path, output)
            write_whole(part / file.name, text)
        else:
            remove_config(output)
        write_json(part / "analysis.json", result)
        write_page(
            part / "analysis.html",
            name,
            fingerprint,
            overview,
            found,
            complaints,
            folder.samples,
            file,
            reason,
        )
    _say(result, complaints, output, file, reason)
    return result


def _with_options(line: str) -> str:
    """A line that names fields of the settings, with the options of this command."""
    return _FIELD.sub(lambda found: f"--{found[1].replace('_', '-')}", line)


_COLUMNS = ("what", "sparse", "dense", "measured", "means")


def _result(fingerprint, overview, found, complaints) -> dict:
    """What analysis.json holds."""
    from dataclasses import asdict

    from beadseg.analysis import regime as regimes
    from beadseg.analysis.findings import findings
    from beadseg.analysis.fingerprint import plain
    from beadseg.analysis.rules import recommend

    return plain(
        {
            "regime": found._asdict() | {"sentence": regimes.sentence(found)},
            "overview": asdict(overview),
            "table": [
                dict(zip(_COLUMNS, r, strict=True)) for r in regimes.table(overview)
            ],
            "findings": [
                f"{h}: {text}" for _, text, h in findings(fingerprint, overview)
            ],
            "recommended": {
                field: {"value": choice.value, "because": choice.because}
                for field, (choice, _) in recommend(overview).items()
            },
            "complaints": None
            if complaints is None
            else [complaint._asdict() for complaint in complaints],
        }
        | fingerprint.as_json()
    )


def _why_not_train(folder, overview) -> str:
    """Why nothing can be trained on a folder; "" where it can."""
    from beadseg.data.folder import require_labels
    from beadseg.errors import BeadsegError

    try:
        require_labels(folder)
    except BeadsegError as error:
        return str(error)
    if not overview.labelled_images and not overview.point_images:
        return f"{folder.path}: all masks are full: leave what is no bead at 0"
    return ""


def _say(result, complaints, output: Path, file: Path | None, reason: str) -> None:
    print(result["regime"]["sentence"])
    for row in result["table"]:
        print(f"  {row['what']}: {row['measured']} ({row['means']})")
    for finding in result["findings"]:
        print(finding)
    for note in result["notes"]:
        print(note)
    if complaints is not None and not complaints:
        print("No rule speaks against the settings given.")
    for complaint in complaints or []:
        instead = "" if complaint.instead is None else f"; take {complaint.instead}"
        print(f"{complaint.field} = {complaint.value}: {complaint.why}{instead}")
    if reason:
        print(
            f"No settings are recommended, there is nothing to train on yet: {reason}"
        )
    print(f"page: {output / 'analysis.html'}")
    if file:
        print(f"train: python -m beadseg.main --config={shlex.quote(str(file))}")
