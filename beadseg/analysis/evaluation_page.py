"""The page of an evaluation: the numbers, and the worst images with their errors."""

from pathlib import Path

import numpy as np

from beadseg import colours
from beadseg.data.images.gaps import fill
from beadseg.data.images.reading import ReadError
from beadseg.data.masks.labels import UNKNOWN
from beadseg.inference.outputs.views import LEGEND, circles, densest, error_layers, view
from beadseg.inference.scores.pair_scores import cells, errors_said
from beadseg.inference.scores.pairing import Pair, read_predicted, read_truth
from beadseg.matching import MIN_IOUS
from beadseg.page import Page
from beadseg.quoting import as_sentence, counted, percent, some_of

WORST = 12  # images that are shown
_WINDOW = 512  # px, side of the part shown of a big image: the one with most errors
_DOT = 3.0  # px across, at a centre


def write_page(
    result: dict, pairs: dict[str, Pair], file: Path, option: str = "--page"
) -> None:
    """Writes the page of a result of `evaluate`; `pairs` are its images by name."""
    pooled = result["pooled"]
    page = Page("Evaluation", _lead(result))
    _numbers(page, result)
    for line in result.get("doubts", ()):
        page.callout("warn", as_sentence(line))
    for problem in result["failed"]:
        page.callout("bad", problem, "Left out.")
    if result["without_prediction"]:
        some = some_of(result["without_prediction"], 10)
        page.callout("warn", f"{some}.", "Labelled, not predicted:")
    masks = "ap" in pooled
    if masks:
        page.section("Beads at each overlap")
        _overlap(page, pooled)
    page.section("Images")
    _images(page, result["images"])
    page.section("The worst images")
    _pictures(page, result["images"], pairs, masks)
    page.section("What the numbers mean")
    _meanings(page, result)
    page.write(file, option)


def _lead(result: dict) -> str:
    pooled, count = result["pooled"], len(result["images"])
    beads = f"{pooled['beads']:.0f}"
    shares = {image.get("completeness") for image in result["images"]}
    how = "expected" if shares - {None, 1.0} else "labelled"
    found = f"{counted(pooled['predicted'], 'bead')} predicted where {beads} are {how}"
    lead = f"{found}, in {counted(count, 'image')}."
    if "errors" in pooled:
        lead += f" Of the errors: {', '.join(errors_said(pooled['errors']))}."
    return lead


def _numbers(page: Page, result: dict) -> None:
    pooled, mean = result["pooled"], result["mean_of_images"]
    detection = pooled["detection"]
    tiles = [
        ("Count error", percent(mean["count_error"], 1), "mean of images"),
        ("F1 of centres", f"{detection['f1']:.3f}", _within(result)),
    ]
    if "ap" in pooled:
        tiles = [
            ("Jaccard", f"{pooled['jaccard']:.3f}", "pixels, pooled"),
            ("F1 at IoU 0.5", f"{pooled['f1'][0]:.3f}", "beads"),
            ("AP at IoU 0.5", f"{pooled['ap'][0]:.3f}", "beads"),
            ("PQ", f"{pooled['pq'][0]:.3f}", "beads"),
            *tiles,
        ]
    if pooled["diameter_error"] is not None:
        error = percent(pooled["diameter_error"], 1, sign=True)
        size = f"median {pooled['predicted_median_diameter']:.1f} px"
        tiles.append(("Diameter error", error, size))
    page.numbers(tiles)


def _within(result: dict) -> str:
    given = result["distance"]
    return "within half a diameter" if given is None else f"within {given:g} px"


def _overlap(page: Page, pooled: dict) -> None:
    rows = ("precision", "recall", "f1", "ap", "pq")
    names = ("Precision", "Recall", "F1", "AP", "PQ")
    page.table(
        ["IoU", *(f"{least:.2f}" for least in MIN_IOUS)],
        [
            [name, *(f"{value:.3f}" for value in pooled[row])]
            for name, row in zip(names, rows, strict=True)
        ],
    )
    with page.plot(
        "A metric that falls early speaks of outlines, not of beads."
    ) as axes:
        for name, row in zip(names, rows, strict=True):
            axes.plot(MIN_IOUS, pooled[row], marker="o", markersize=4, label=name)
        axes.set(xlabel="IoU from which a bead is a true positive", ylim=(0, 1.02))
        axes.legend(ncols=5, loc="lower left")


def _images(page: Page, images: list[dict]) -> None:
    masks = any("ap" in image for image in images)
    header = ["image", "beads", "predicted", "count error"]
    header += ["Jaccard", "F1 at 0.5", "AP at 0.5", "PQ"] if masks else []
    header += ["centres F1", "diameter error"]
    rows = []
    for image in _worst_first(images):
        beads, predicted, *scores = cells(image, masks)
        of_count = percent(image["count_error"], 1, sign=True)
        rows.append([image["name"], beads, predicted, of_count, *scores])
    page.table(header, rows, "The worst first.")


def _pictures(page: Page, images: list[dict], pairs: dict, masks: bool) -> None:
    page.legend(LEGEND if masks else [LEGEND[0]])
    pictures = []
    for image in _worst_first(images)[:WORST]:
        try:
            drawn = draw_errors(pairs[image["name"]])
        except ReadError as error:  # it was there a moment ago
            page.callout("bad", str(error))
            continue
        if "errors" in image:
            some = {kind: n for kind, n in image["errors"].items() if n}
            said = ", ".join(errors_said(some)) or "no error"
        else:
            said = f"F1 of the centres {image['detection']['f1']:.3f}"
        pictures.append((drawn, f"{image['name']}: {said}"))
    page.pictures(pictures, width=20)


def _meanings(page: Page, result: dict) -> None:
    meanings = [
        f"Centres: a predicted centre is a true positive {_within(result)} of a true "
        "one, one to one.",
        "Count error: of beads predicted against labelled; its mean over images takes "
        "no account of the sign.",
        "Diameter: of the disc of equal area, median over beads that do not touch the "
        "border.",
    ]
    if "ap" in result["pooled"]:
        meanings = [
            "Pooled: counts of all images are added up and divided once.",
            "IoU: shared area over joint area of a predicted and a true bead, matched "
            "one to one so that most match.",
            "AP: "
            "TP / (TP + FP + FN). PQ: sum of the IoU of the true positives / (TP + FP "
            "/ 2 + FN / 2).",
            "Boundary F1: of the pixels on outlines, within "
            f"{result['tolerance']:g} px.",
            "Merged: one prediction covers more than half of several true beads. "
            "Split: several predictions lie in one true bead.",
            *meanings,
        ]
    page.items(meanings)


def _worst_first(images: list[dict]) -> list[dict]:
    def quality(image):
        f1 = image["f1"][0] if "f1" in image else image["detection"]["f1"]
        return f1, image.get("jaccard", 0), image["name"]

    return sorted(images, key=quality)


def draw_errors(pair: Pair) -> np.ndarray:
    """An image with the outlines of its beads in the colour of what became of them.

    Returns:
      u8[h, w, 3]: all of a small image, the part with most errors of a big one.

    Raises:
      ReadError: a file of the pair cannot be read.
    """
    truth, centres, *_ = read_truth(pair)
    predicted = read_predicted(pair).labels
    if centres is None:
        layers = error_layers(truth, predicted)
    else:
        layers = [(np.maximum(predicted, 0), colours.TRUE_POSITIVE)]
    wrong = sum((labels > 0 for labels, _ in layers[1:]), np.zeros(truth.shape, bool))
    if centres is not None:
        dots = circles(truth.shape, centres, _DOT)
        layers.append((dots, colours.FALSE_NEGATIVE))
    image = np.zeros(truth.shape, np.float32)
    if pair.image is not None and pair.image.shape == truth.shape:
        image = fill(pair.image.read())[0]
    part = densest(wrong, _WINDOW)
    return view(
        image[part],
        *((labels[part], colour) for labels, colour in layers),
        unknown=truth[part] == UNKNOWN,
    )
