"""`beadseg evaluate PRED TRUTH`: how right a prediction is."""

import argparse
from pathlib import Path

from beadseg.commands import SEVERAL, Subparsers, share
from beadseg.quoting import counted, percent, some_of

_LINES = 20  # images in the printed table


def add(commands: Subparsers) -> None:
    """Adds the parser of the command."""
    parser = commands.add_parser(
        "evaluate",
        help="compare predicted beads with labelled ones",
        description="Compares predictions with the truth, file by file of the same "
        "name: pixels, beads, counts and sizes. Unknown pixels (-1, NaN, or ignore/) "
        "count neither for nor against. Where masks are given to label only a share of "
        "the beads (beads.toml of TRUTH, or --completeness), numbers are those "
        "expected against complete ones; where nothing is given, a few masks are "
        "compared with their images, and what seems incomplete is said. Images that "
        "the run of the prediction was trained on are named, and the others are scored "
        "apart.",
    )
    parser.add_argument(
        "predicted", type=Path, help="a prediction folder, or label images, or one"
    )
    parser.add_argument(
        "truth", type=Path, help="a data set (masks/ or points/), or label images"
    )
    parser.add_argument(
        "--distance",
        type=float,
        metavar="PX",
        help="within which a centre is a true positive (half the median bead diameter)",
    )
    parser.add_argument(
        "--completeness",
        type=float,
        metavar="C",
        help="share of the true beads that the masks label, 0 to 1 (as "
        "in beads.toml of TRUTH, else 1)",
    )
    share(
        parser,
        "--run",
        "run folder that predicted, to tell images that it was trained on; may be "
        "given several times (as the prediction folder names it)",
        **SEVERAL,
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=2.0,
        metavar="PX",
        help="by which outlines may differ in the boundary F1 (2)",
    )
    share(parser, "--images", "folder of the images, for the page (TRUTH/images)")
    parser.add_argument("--page", type=Path, help="write a page with the worst images")
    files = "evaluation.json, evaluation.csv and evaluation.html"
    share(parser, "-o", f"folder for {files}")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> dict:
    """Evaluates and prints; returns every number, "failed" naming what was left out."""
    from beadseg.files import output_folder, write_json
    from beadseg.inference.scores.incomplete import known_shares
    from beadseg.inference.scores.pair_scores import evaluate, table
    from beadseg.inference.scores.pairing import pair
    from beadseg.inference.scores.trained_on import is_trained_on, runs_of, trained_on
    from beadseg.partial.spot_check import spot_check
    from beadseg.tables import write_csv

    pairing = pair(options.predicted, options.truth, options.images)
    shares = known_shares(options.truth, pairing.pairs, options.completeness)
    unknown = [pair for pair in pairing.pairs if pair.name not in shares]
    check = spot_check(unknown) if unknown else None
    runs = runs_of(options.predicted, options.runs)
    known = trained_on(runs.there)
    result = evaluate(
        pairing,
        distance=options.distance,
        tolerance=options.tolerance,
        completeness=shares,
        suspected=check and check.completeness,
        trained={
            pair.name
            for pair in pairing.pairs
            if is_trained_on(pair.name, pair.image and pair.image.path, known)
        },
    )
    result["doubts"] += _incomplete(result, check)
    result["doubts"] += _doubts(result, options.truth, runs.gone)
    _print(result)
    if options.page or options.output:
        from beadseg.analysis.evaluation_page import write_page

        shown = {pair.name: pair for pair in pairing.pairs}
    if options.page:
        write_page(result, shown, options.page)
    if options.output:
        with output_folder(options.output) as part:
            write_json(part / "evaluation.json", result)
            write_csv(part / "evaluation.csv", [table(result)], digits=None)
            write_page(result, shown, part / "evaluation.html", "-o")
    return result


def _incomplete(result: dict, check) -> list[str]:
    """How numbers were corrected for masks that lack beads, or what to make of them."""
    lines, images = [], result["images"]
    short = [i["completeness"] for i in images if i["completeness"] not in (None, 1.0)]
    if short:
        mean = sum(short) / len(short)
        lines.append(
            f"the masks of {len(short)} of {counted(len(images), 'image')} label, as "
            f"given, {percent(mean)} of the beads: all numbers are those expected "
            "against complete masks, if beads were left out at random"
        )
    if check is not None:
        lines.append(
            f"the masks seem to label only about {percent(check.completeness)} of the "
            f"beads ({percent(check.low)} to {percent(check.high)}, from "
            f"{counted(check.images, 'image')} without the masks), so a perfect "
            "prediction looks full of false beads; against complete masks: "
            f"{_scores(result['if_incomplete'])}. Say how complete they are with "
            "--completeness (1: complete)"
        )
    return lines


def _doubts(result: dict, truth: Path, gone: tuple[Path, ...]) -> list[str]:
    """Further warnings about the numbers."""
    from beadseg.data.masks.provenance import proposed
    from beadseg.inference.scores.pairing import dataset_of

    lines, images = [], result["images"]
    circular = proposed(dataset_of(truth), [i["name"] for i in images])
    lines.append(circular.sentence("the truth"))
    trained = sum(image["trained_on"] for image in images)
    if trained:
        line = (
            f"{trained} of {counted(len(images), 'image was', 'images were')} trained "
            "on by the run of the prediction: scores on them say little about others"
        )
        if result["held_out"]:
            others = len(images) - trained
            line += f"; on the other{f' {others}' if others > 1 else ''}: "
            line += _scores(result["held_out"])
        lines.append(line)
    if short := [image for image in images if image["unknown"]]:
        share = sum(i["unknown"] for i in images) / sum(i["pixels"] for i in images)
        masks = counted(len(short), "image has", "images have")
        lines.append(
            f"{masks} unknown pixels (-1, NaN, or ignore/), {percent(share, 1)} of "
            "all: they count neither for nor against"
        )
    for run in gone:
        lines.append(
            f"the prediction was made by {run}, which is not there: give its folder "
            "with --run to learn whether it was trained on these images"
        )
    return [line for line in lines if line]


def _scores(found: dict) -> str:
    parts = [f"centres F1 {found['detection']['f1']:.3f}"]
    if "ap" in found:
        parts = [f"Jaccard {found['jaccard']:.3f}", f"F1 {found['f1'][0]:.3f}", *parts]
    return ", ".join([*parts, f"count {percent(found['count_error'], 1, sign=True)}"])


def _print(result: dict) -> None:
    from beadseg.inference.scores.pair_scores import cells, errors_said

    pooled, images = result["pooled"], result["images"]
    masks = "ap" in pooled
    width = max(len("image"), *(len(image["name"]) for image in images[:_LINES]))
    heads = ("Jaccard", "F1", "AP", "PQ") if masks else ()
    heads = ("beads", "predicted", *heads, "centres F1", "diameter")
    print("  ".join([f"{'image':{width}}", *heads]))
    for image in images[:_LINES]:
        pairs = zip(cells(image, masks), heads, strict=True)
        numbers = [f"{cell or '-':>{len(head)}}" for cell, head in pairs]
        print("  ".join([f"{image['name']:{width}}", *numbers]))
    if len(images) > _LINES:
        print(f"... and {len(images) - _LINES} more: see --json or -o")
    print(f"\n{counted(len(images), 'image')} pooled")
    if masks:
        from beadseg.matching import MIN_IOUS

        print(
            f"  pixels      Jaccard {pooled['jaccard']:.3f}, Dice "
            f"{pooled['dice']:.3f}, accuracy {pooled['accuracy']:.3f}, boundary F1 "
            f"{pooled['boundary_f1']:.3f} within {result['tolerance']:g} px"
        )
        print("  beads, IoU  " + "  ".join(f"{least:5.2f}" for least in MIN_IOUS))
        for key in ("precision", "recall", "f1", "ap", "pq"):
            values = "  ".join(f"{value:5.3f}" for value in pooled[key])
            print(f"  {key.upper() if len(key) == 2 else key:10}  {values}")
        print(f"  errors      {', '.join(errors_said(pooled['errors']))}")
    detection, given = pooled["detection"], result["distance"]
    print(
        f"  centres     F1 {detection['f1']:.3f}, precision "
        f"{detection['precision']:.3f}, recall {detection['recall']:.3f} within "
        + ("half a diameter" if given is None else f"{given:g} px")
    )
    print(
        f"  count       {pooled['predicted']:.0f} for {pooled['beads']:.0f} "
        f"({percent(pooled['count_error'], 1, sign=True)}); mean error per image "
        f"{percent(result['mean_of_images']['count_error'], 1)}"
    )
    if pooled["diameter_error"] is not None:
        print(
            f"  diameter    median {pooled['predicted_median_diameter']:.1f} px for "
            f"{pooled['median_diameter']:.1f} px "
            f"({percent(pooled['diameter_error'], 1, sign=True)})"
        )
    for what, key in (
        ("labelled, not predicted", "without_prediction"),
        ("predicted, not labelled", "without_truth"),
    ):
        if names := result[key]:
            print(f"{what} ({len(names)}): {some_of(names, 5)}")
    for line in result["doubts"]:
        print(f"note: {line}")
    for line in result["failed"]:
        print(f"left out: {line}")
