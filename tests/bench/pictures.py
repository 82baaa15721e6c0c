"""The pictures of README.md that show pages, of generated beads.

  python -m tests.bench.pictures [report] [review]

report    two parts of the page of a dilution series: dark beads of 7 px in crops of
          512 px, half as many in each dilution, and two blanks
review    the review page of a prediction

Needs Chromium, and the packages of the tests.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from playwright.sync_api import sync_playwright

from beadseg.data.generated.render import generate
from beadseg.data.generated.settings import GeneratedSettings
from tests.partial.conftest import CHROMIUM, FLAGS
from tests.partial.test_review import Server

FOLDER = Path(__file__).parents[2] / ".readme"
THICKEST, DILUTIONS, FRAMES, BLANKS = 410, 6, 4, 2
RADIUS = 3.5  # px
RATIO = 1.2  # px of a picture per px of the page


def predict(images: Path, *more: str) -> Path:
    """The prediction folder of a folder of images."""
    out = images.parent / "out"
    command = [sys.executable, "-m", "beadseg.cli", "predict", str(images)]
    subprocess.run([*command, "-o", str(out), *more], check=True)
    return out


def dilutions(folder: Path) -> Path:
    """Images of a dilution series, named by how thin it is."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    steps = [(f"{320 * 2**step}x", THICKEST / 2**step) for step in range(DILUTIONS)]
    frames = [(name, mean, k) for name, mean in steps for k in range(FRAMES)]
    frames += [("blank", 0, k) for k in range(BLANKS)]
    for number, (name, mean, k) in enumerate(frames):
        beads = int(rng.poisson(mean))
        share = beads * np.pi * RADIUS**2 / 512**2
        sizes = {
            "coverage": (0.5 * share, 1.5 * share),
            "radius": (0.98 * RADIUS, 1.02 * RADIUS),
        }
        made = GeneratedSettings(
            size=512,
            modalities=("absorption",),
            patterns=("scattered",),
            beads=(beads, beads),
            **(sizes if beads else {}),
            polydispersity=(0.0, 0.02),
            overlap=(0.0, 0.0),
            irregular_share=0.0,
            satellite_share=0.0,
            wide_share=0.0,
            empty_share=0.0,
            artefacts=0.0,
        )
        image = generate(made, 5, number).image
        tifffile.imwrite(folder / f"{name}_{k}.tif", image)
    return folder


def report(work: Path) -> None:
    """The top of the page, and its groups, side by side."""
    out = predict(dilutions(work / "images"), "--group", "^[0-9]+x|^blank")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        size = {"width": 950, "height": 900}
        page = browser.new_page(viewport=size, device_scale_factor=RATIO)
        page.goto((out / "report.html").as_uri())
        parts = []
        for heading, height in (("Beads found", 760), ("Groups of images", 760)):
            top = page.get_by_role("heading", name=heading).bounding_box()["y"] - 24
            clip = {"x": 0, "y": top, "width": size["width"], "height": height}
            file = work / f"{heading}.png"
            page.screenshot(path=file, clip=clip, full_page=True)
            parts.append(np.asarray(Image.open(file).convert("RGB")))
        browser.close()
    line = np.full((parts[0].shape[0], 2, 3), 208, np.uint8)
    Image.fromarray(np.hstack([parts[0], line, parts[1]])).quantize(64).save(
        FOLDER / "report.png", optimize=True
    )


def review(work: Path) -> None:
    """The page on the first of three images, the bead in the middle chosen."""
    (work / "images").mkdir()
    for number in range(3):
        made = GeneratedSettings(
            size=512, radius=(14.0, 30.0), modalities=("bright_field",)
        )
        image = generate(made, 2, number).image
        tifffile.imwrite(work / "images" / f"generated_{number}.tif", image)
    server = Server(predict(work / "images", "--no-report"))
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1240, "height": 860})
            page.goto(server.address)
            page.wait_for_selector("body[data-ready=generated_0]")
            y, x = page.evaluate(MIDDLE)
            box = page.locator("#canvas").bounding_box()
            page.mouse.click(box["x"] + x, box["y"] + y)
            page.wait_for_timeout(1500)
            page.screenshot(path=work / "review.png")
            browser.close()
    finally:
        server.stop()
    picture = Image.open(work / "review.png").convert("RGB").quantize(256)
    picture.save(FOLDER / "review.png", optimize=True)


# Where on the canvas the bead lies that is nearest to the middle of the image.
MIDDLE = """() => {
  const away = (b) => Math.hypot(b.x - facts.width / 2, b.y - facts.height / 2);
  const bead = [...beads.values()].sort((a, b) => away(a) - away(b))[0];
  return [(bead.y - view.y) * view.scale, (bead.x - view.x) * view.scale];
}"""
PICTURES = {"report": report, "review": review}


def main() -> None:
    """Makes those that are named, or all."""
    for name in sys.argv[1:] or PICTURES:
        with tempfile.TemporaryDirectory() as work:
            PICTURES[name](Path(work))
        print(FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
