"""The page of a prediction of 300 images with 30,000 beads, and all measured again.

  python -m tests.bench.page --write

Label images are measured (`beadseg measure`), their page is written, and one bead is
deleted, of one image and then of every other; after each of the two `beadseg review
--measure` writes what follows from it. The same is done for one image of 100,000 beads.
Told are the size of the page and the processor time of each command, all that it takes
to start included. Measuring again is compared with the command that wrote the same
files first. Single times are of the processor that is named.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import tifffile

from beadseg.inference.records import records
from beadseg.partial.review.predicted import prepare
from beadseg.partial.review.session import ReviewSession
from tests.bench import record
from tests.bench.review import draw

SETS = {"many": (300, 512, 100), "one": (1, 3162, 100_000)}  # images, px, beads of each


def processor_seconds(*arguments: str | Path) -> float:
    """Of a process of Python and all that it starts; it must end well."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def correct(out: Path, names: list[str]) -> None:
    """Deletes the first bead of these images."""
    session = ReviewSession(out)
    for name in names:
        session.decide(name, {"do": "delete", "ids": [1]}, 0)
    session.close()


def measure(folder: Path, images: int, side: int, beads: int) -> dict:
    """Seconds of each command, and the bytes of the page."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for i in range(images):
        image, labels, _ = draw(side, beads, seed=i)
        for kind, pixels in (("images", image), ("labels", labels)):
            tifffile.imwrite(folder / kind / f"{i:03d}_day{i % 4}.tif", pixels)
    out = folder / "out"
    given = folder / "labels", folder / "images", "-o", out, "--no-report"
    found = {"images": images, "beads": images * beads, "seconds": {}}
    took = found["seconds"]
    took["measure"] = processor_seconds("-m", "beadseg.cli", "measure", *given)
    page = "import sys; from beadseg.analysis.prediction.page import report; "
    took["page"] = processor_seconds("-c", f"{page}report(sys.argv[1])", out)
    found["page_megabytes"] = (out / "report.html").stat().st_size / 1e6
    prepare(out)
    again = "-m", "beadseg.cli", "review", out, "--measure", "--no-report"
    first, *others = (file.stem for file in records(out))
    correct(out, [first])
    took["one_again"] = processor_seconds(*again)
    if others:
        correct(out, others)
        took["others_again"] = processor_seconds(*again)
    found["again_over_first"] = max(list(took.values())[2:]) / took["measure"]
    return found


def main() -> None:
    """Prints, and keeps if asked to, what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    found = {}
    for name, sizes in SETS.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = record.rounded(measure(Path(folder), *sizes))
        print(name, found[name], flush=True)
    if options.write:
        record.keep("page", found)


if __name__ == "__main__":
    main()
