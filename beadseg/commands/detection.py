"""Options of the commands that look for beads: which ones count."""

import argparse

from beadseg.inference.settings import POLARITIES, Settings


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds --diameter, --min-score and --polarity."""
    parser.add_argument(
        "--diameter",
        type=auto_or_number,
        default="auto",
        help="px of the beads in these images; auto: beads of any size, or of that of "
        "the images that --run was trained on",
    )
    parser.add_argument(
        "--min-score",
        type=auto_or_number,
        default="auto",
        help="beads less sure than this are left out, 0 to 1; auto: 0.4 for beads of "
        "any size, else 0",
    )
    parser.add_argument(
        "--polarity",
        choices=POLARITIES,
        default="any",
        help="beads brighter or darker than what lies around alone (any)",
    )


def settings(options: argparse.Namespace) -> Settings:
    """What was asked for.

    Raises:
      BeadsegError: a number out of its range.
    """
    return Settings(
        threshold=getattr(options, "threshold", "auto"),
        diameter=options.diameter,
        min_score=options.min_score,
        polarity=options.polarity,
    )


def auto_or_number(text: str) -> float | str:
    """A value of --threshold and the like."""
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither auto nor a number"
        ) from None
