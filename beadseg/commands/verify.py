"""`beadseg verify DIR`: how complete each mask is, and what it lacks."""

import argparse
from pathlib import Path

from beadseg.commands import Subparsers, detection, share
from beadseg.quoting import percent


def add(commands: Subparsers) -> None:
    """Adds the parser of the command."""
    parser = commands.add_parser(
        "verify",
        help="how complete each mask is; exit code 1 when one is short or wrong",
        description="Holds every mask against its image: is it of another image, "
        "turned, inverted, with numbers for kinds? Estimates the share of the beads "
        "that it labels, shows the beads that look missing, and says whether they are "
        "missing at random or by kind: dim, blurred, crowded or outside a region.",
    )
    share(parser, "dir")
    share(parser, "--run", "run folder: surer than without")
    parser.add_argument(
        "--min-completeness",
        type=float,
        metavar="SHARE",
        help="that a mask must reach (0.9: training takes it as complete)",
    )
    share(parser, "-o", "folder of page and table (NAME-verify)")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write what was found into DIR/beads.toml: training reads it",
    )
    detection.add_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> dict:
    """Audits all masks, prints a line for each; returns all numbers."""
    from beadseg.partial.verification import verify

    name = options.dir.resolve().name
    output = options.output or Path(f"{name}-verify")
    result = verify(
        options.dir,
        output,
        options.model,
        options.min_completeness,
        options.write,
        detection.settings(options),
    )
    width = max(len(row["image"]) for row in result["images"])
    for row in result["images"]:
        if row["wrong"]:
            print(f"WRONG {row['image']:<{width}}  {row['wrong']}: see below")
            continue
        sign = "ok   " if row["passes"] else "SHORT"
        print(
            f"{sign} {row['image']:<{width}}  {percent(row['completeness']):>5} "
            f"({percent(row['low'])} to {percent(row['high'])}), {row['labelled']} "
            f"labelled, about {row['missing']:.0f} missing"
        )
    for line in (*result["doubts"], *result["problems"], *result["remarks"]):
        print(line)
    print(result["sentence"])
    print(f"pictures and table: {output / 'index.html'}, completeness.csv beside it")
    return result
