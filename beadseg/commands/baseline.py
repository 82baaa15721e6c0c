"""`beadseg baseline DIR`: the quick test whether settings or data are the problem."""

import argparse
from pathlib import Path

from beadseg.commands import Subparsers, share
from beadseg.quoting import as_sentence


def add(commands: Subparsers) -> None:
    """Adds the parser of the command."""
    parser = commands.add_parser(
        "baseline",
        help="a quick plain training: are the settings the problem, or the data?",
        description="Trains with plain settings: cross-entropy, rate 1e-4, batches of "
        "32, at most 20 epochs, patience 5. Says from the curve, and from how complete "
        "the masks are, whether settings or data are to blame.",
    )
    share(parser, "dir")
    parser.add_argument("--workdir", type=Path, help="run folder (DIR-baseline)")
    parser.add_argument("--epochs", type=int, default=20, help="at most (20)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> dict:
    """Looks at the data, trains, judges; returns the verdict with its numbers."""

    from beadseg.analysis.baseline import baseline_config, verdict_of, write_page
    from beadseg.analysis.fingerprint import take_fingerprint
    from beadseg.analysis.overview import look_over
    from beadseg.config import base_config
    from beadseg.data.folder import require_labels, scan, trusted
    from beadseg.errors import BeadsegError

    if options.epochs < 1:
        raise BeadsegError(f"--epochs {options.epochs}: give at least 1")
    data = base_config().data
    data.dir = str(options.dir)
    folder = trusted(scan(data))
    require_labels(folder)
    overview = look_over(take_fingerprint(folder))
    config = baseline_config(options.dir, overview, options.epochs)
    config.seed = config.data.seed = options.seed
    config.log.job_type = "baseline"
    name = folder.path.resolve().name
    workdir = options.workdir or Path(f"{name}-baseline")

    from beadseg.partial import outlining
    from beadseg.training.loop import train  # jax takes seconds: errors come before
    from beadseg.training.tracking.summary import cautions
    from beadseg.training.tracking.tracker import read_rows
    from beadseg.training.tracking.wandb_mode import sync_command

    outlining.prepare(config)
    print(f"run folder: {workdir}")
    summary = train(config, workdir, workdir.name)
    rows = read_rows(workdir / "metrics.jsonl")
    curve = [row for row in rows if row["kind"] == "validation"]
    given = any(sample.completeness is not None for sample in folder.samples)
    verdict = verdict_of(curve, overview, options.dir, given)
    doubts = map(as_sentence, cautions(summary))
    verdict = verdict._replace(checks=(*doubts, *verdict.checks))
    write_page(workdir / "baseline.html", verdict, rows, overview)
    print(verdict.sentence)
    for check in verdict.checks:
        print(f"  {check}")
    print(f"next: {verdict.command}")
    print("\n".join([f"page: {workdir / 'baseline.html'}", *sync_command(workdir)]))
    return verdict._asdict() | {"summary": summary, "workdir": str(workdir)}
