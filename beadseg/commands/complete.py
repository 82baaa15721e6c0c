"""`beadseg complete DIR`: proposals for the beads that masks lack."""

import argparse
import math
import shlex

from beadseg.commands import Subparsers, auto_or_number, detection, maker, share
from beadseg.quoting import counted, percent


def add(commands: Subparsers) -> None:
    """Adds the parser of the command."""
    parser = commands.add_parser(
        "complete",
        help="propose the beads that the masks of a data set lack",
        description="Makes a new data set: the images, the masks as they are, and a "
        "proposal with a score for every bead that the model finds and the mask lacks. "
        "The originals are only read, no labelled bead is moved, and until somebody "
        "decides a proposal counts as unknown. Then: beadseg review NEW.",
    )
    share(parser, "dir")
    share(parser, "--run", "run folder (the default model)")
    share(parser, "-o", "a new folder", required=True)
    parser.add_argument(
        "--accept",
        type=auto_or_number,
        metavar="PRECISION",
        help="accept the surest at this expected precision, such as 0.99; auto: the "
        "strictest of 0.99, 0.95, 0.9, 0.8 at which some are accepted",
    )
    detection.add_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> dict:
    """Writes the new data set; returns how many beads were proposed and accepted."""
    from beadseg.config import base_config
    from beadseg.files import writing
    from beadseg.partial.audit import KINDS
    from beadseg.partial.calibration import FEWEST
    from beadseg.partial.completion import complete, load_predict

    data = base_config().data
    data.dir = str(options.dir)
    predict = load_predict(options.model, detection.settings(options))
    name = str(options.model or "default")
    with writing(options.output, "--output"):
        asked = (name, predict, options.accept)
        result = complete(
            data, options.output, *asked, maker=maker("complete", options)
        )
    for line in result["problems"]:
        print(line)
    print(
        f"{counted(result['images'], 'image')} with {result['labelled']} labelled "
        f"beads, of which the model finds {result['agreed']}; {result['proposed']} "
        f"proposals, about {result['expected']:.0f} of them expected to be right"
    )
    if result["omission"] in KINDS:
        print(f"missing are {KINDS[result['omission']]} above all")
    if not result["calibrated_on"]:
        print(
            f"fewer than {FEWEST} labelled beads were found as they are labelled: "
            "scores are the model's own and may be far off"
        )
    if options.accept is not None and result["accepted"]:
        print(
            f"accepted {result['accepted']} at {result['asked_precision']:g}, of which "
            f"{percent(result['expected_precision'], 1)} are expected to be right"
        )
    elif options.accept is not None:
        print(_none_accepted(result))
    print(f"next: beadseg review {shlex.quote(str(options.output))}")
    return result | {"exit_code": 1 if result["problems"] else 0}


def _none_accepted(result: dict) -> str:
    highest = result["highest_score"]
    if highest is None:
        return "nothing is proposed, and so nothing accepted"
    line = (
        f"none is sure enough to be accepted at {result['asked_precision']:g}: the "
        f"highest score is {highest:.2f}; "
    )
    lower = math.floor(100 * highest) / 100
    if lower >= 0.5:
        line += f"give --accept {lower:g} or less, or "
    return line + "decide about them on the page of `beadseg review`"
