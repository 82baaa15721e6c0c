"""A completed data set with known beads: no network needed."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from beadseg.data.cache import hash_file
from beadseg.partial.completed import FOLDERS, write_labels

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]


def disc(labels, y, x, radius, number):
    rows, columns = np.ogrid[: labels.shape[0], : labels.shape[1]]
    labels[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = number


def make_completed(folder: Path, *names: str) -> Path:
    """Images of these names: beads 1..3 by a person, 4..7 proposed, falling scores."""
    for kind in FOLDERS:
        (folder / kind).mkdir(parents=True)
    manual, proposals = np.zeros((2, 64, 80), np.int32)
    for number, x in enumerate((10, 26, 42), 1):
        disc(manual, 12, x, 6, number)
    for number, x in enumerate((10, 26, 42, 58), 4):
        disc(proposals, 40, x, 6, number)
    rng = np.random.default_rng(0)
    image = (800 * ((manual + proposals) > 0) + rng.normal(200, 20, manual.shape)).clip(
        0
    )
    scores = {4: 0.999, 5: 0.97, 6: 0.8, 7: 0.55}
    for name in names:
        file = folder / "images" / f"{name}.tif"
        tifffile.imwrite(file, image.astype(np.uint16))
        write_labels(folder / "person" / f"{name}.tif", manual)
        write_labels(folder / "proposals" / f"{name}.tif", proposals)
        about = {
            "image": file.name,
            "image_digest": hash_file(file),
            "run": "runs/test",
            "beads": {
                str(n): {"score": s, "reason": "a test"} for n, s in scores.items()
            },
        }
        (folder / "proposals" / f"{name}.json").write_text(json.dumps(about))
    return folder


@pytest.fixture
def completed(tmp_path) -> Path:
    """A folder of the one image `a`."""
    return make_completed(tmp_path / "new", "a")


@pytest.fixture
def pair(tmp_path) -> Path:
    """A folder of the images `a` and `b`, saved as `beadseg complete` leaves them."""
    from beadseg.partial.review.annotation_log import AnnotationLog
    from beadseg.partial.review.derived import saving

    folder = make_completed(tmp_path / "pair", "a", "b")
    for name in ("a", "b"):
        saving(AnnotationLog(folder, name))()
    return folder


@pytest.fixture
def browser():
    if not CHROMIUM.exists():
        pytest.skip("no Chromium here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()
