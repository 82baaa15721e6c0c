"""`beadseg report RUN_OR_SWEEP`: one page of what came of it."""

import argparse
import shutil
from pathlib import Path

from beadseg.commands import Subparsers, share


def add(commands: Subparsers) -> None:
    """Adds the parser of the command."""
    parser = commands.add_parser(
        "report",
        help="one page of a run or a sweep: curves, images, settings, leaderboard",
        description="Writes one HTML page of a run or a sweep, also of one that has "
        "not finished. For an analysis it names the page that is there.",
    )
    parser.add_argument(
        "folder", metavar="RUN_OR_SWEEP", type=Path, help="a run, sweep or analysis"
    )
    share(parser, "-o", "file to write (report.html in the folder)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> dict:
    """Writes the page; returns where it is and what it is about."""
    from beadseg.errors import BeadsegError
    from beadseg.files import writing

    folder: Path = options.folder
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "no such folder"
        raise BeadsegError(f"{folder}: {what}: give a run or sweep folder")
    file = options.output or folder / "report.html"
    analysis = folder / "analysis.html"
    if (folder / "sweep.json").exists():
        from beadseg.sweep.report import write_report

        try:
            made = write_report(folder)
        except (KeyError, TypeError) as error:
            raise BeadsegError(
                f"{folder}: a file of this sweep lacks {error}: it is damaged or of "
                "another version; run the sweep's command again with this one"
            ) from error
    elif analysis.exists():
        made = analysis
        file = options.output or analysis
    else:
        from beadseg.analysis.report import write_run_report

        result = write_run_report(folder, file)
        print(f"page: {file}")
        return result
    if made != file:
        with writing(file, "-o"):
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made, file)
    print(f"page: {file}")
    return {"file": str(file)}
