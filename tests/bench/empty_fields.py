"""Fields without a bead: whatever is found in them is false."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tifffile

from beadseg.data.generated.render import generate
from beadseg.data.generated.settings import GeneratedSettings
from beadseg.data.images.reading import file_stem, open_pages
from tests.bench.command import Predicted, predict

SEED = 1606  # of no training
SIZE = 512  # px
CASES = ("06-empty-fields", "36-constant-image")  # of a folder of cases


def draw(count: int, folder: Path) -> None:
    """Writes generated fields, as many of each kind of microscope."""
    folder.mkdir(parents=True)
    modalities = GeneratedSettings(preset="varied").modalities
    for index in range(count):
        modality = modalities[index * len(modalities) // count]
        settings = GeneratedSettings(
            preset="varied", size=SIZE, beads=(0, 0), modalities=(modality,)
        )
        drawn = generate(settings, SEED, index)
        assert not drawn.labels.any(), f"field {index} is not empty"
        tifffile.imwrite(folder / f"{index:03d}_{modality}.tif", drawn.image)


def measure(
    count: int,
    cases: Path | None,
    choose: Callable[[list[Path]], list[Path]],
    folder: Path,
    model: Sequence[str],
) -> dict:
    """False beads in generated fields, and in those of a folder of cases.

    Args:
      count: of generated fields.
      cases: a folder that holds `CASES`.
      choose: of the images of a folder, those that are looked at.
      folder: to work in.
      model: flags of `beadseg predict`.
    """
    draw(count, folder / "generated")
    groups = {"generated": folder / "generated"}
    for name in CASES if cases else ():
        groups[name] = cases / name / "in"
    rows, fields = {}, []
    for name, images in groups.items():
        files = choose(sorted(images.iterdir()))
        if files:
            predicted = predict(files, folder / f"{name}_predicted", model)
            found = _fields(files, predicted)
            fields += found
            rows[name] = _row(found) | {"seconds": predicted.seconds}
    return rows | {"all": _row(fields)}


def _fields(files: list[Path], predicted: Predicted) -> list[dict]:
    """A dict for each field; `beads` is None where there is no row in images.csv."""
    return [
        {
            "image": file_stem(file),
            "megapixels": np.prod(open_pages(file)[0].shape) / 1e6,
            "beads": int(predicted.images[file_stem(file)]["count"])
            if file_stem(file) in predicted.images
            else None,
        }
        for file in files
    ]


def _row(fields: list[dict]) -> dict:
    beads = sum(field["beads"] or 0 for field in fields)
    wrong = {f["image"]: f["beads"] for f in fields if f["beads"]}
    return {
        "images": len(fields),
        "with_any_bead": len(wrong) / len(fields),
        "false_beads": beads,
        "false_per_megapixel": float(beads / sum(f["megapixels"] for f in fields)),
        "without_a_row": [f["image"] for f in fields if f["beads"] is None],
        "wrong": wrong,
    }
