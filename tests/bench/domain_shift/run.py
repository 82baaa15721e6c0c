"""The study of the domain-shift analysis, run and kept: configs/study_domain_shift.py.

  python -m tests.bench.domain_shift.run generated --runs DIR --write
  python -m tests.bench.domain_shift.run emps_spheres_dev --runs DIR --write
  python -m tests.bench.domain_shift.run vnc_mitochondria_em --sparse ...

Of real images (sets in $BEADSEG_REAL_DATA) every fourth validates, with complete masks;
of the others a copy lacks half of the objects. The page is DIR/study_NAME/study.html.
A run that was cut short continues; kept are verdicts and effects as they are on the
page.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile

from beadseg.data.generated.damage import damage_labels
from beadseg.data.images.reading import open_pages
from beadseg.data.masks.beads import describe_beads
from beadseg.data.masks.labels import read_labels
from tests.bench.domain_shift.page import FILE, write_page
from tests.bench.domain_shift.reading import numbers, read_study
from tests.bench.record import keep
from tests.real_data import real_set

EVERY = 4  # one of so many images validates


def prepare(source: Path, folder: Path, percents: tuple[int, ...]) -> list[str]:
    """Writes folder/PERCENT data sets; returns the names of the images that validate.

    Where only a share is labelled, `beads.toml` tells it, and that the images that
    validate are complete: they alone are measured on.
    """
    files = sorted((source / "masks").iterdir())
    validation = [file.stem for file in files[EVERY - 1 :: EVERY]]
    for percent in percents:
        to = folder / str(percent)
        if to.exists():
            continue
        making = folder / f"{percent}.making"
        shutil.rmtree(making, ignore_errors=True)
        shutil.copytree(source / "images", making / "images")
        (making / "masks").mkdir()
        lines = ["[completeness]"]
        for number, file in enumerate(files):
            labels, share = read_labels(file), 1.0
            if percent < 100 and file.stem not in validation:
                share = percent / 100
                image = next((source / "images").glob(f"{file.stem}.*"))
                grey = np.asarray(open_pages(image)[0].read(), np.float32)
                grey = grey.mean(-1) if grey.ndim == 3 else grey
                labels = damage_labels(
                    *("drop_random", 1 - share, labels),
                    *(describe_beads(labels, grey), np.random.default_rng(number)),
                )
            lines.append(f'"{file.stem}" = {share}')
            tifffile.imwrite(
                making / "masks" / f"{file.stem}.tif", labels.astype(np.int32)
            )
        (making / "beads.toml").write_text("\n".join(lines) + "\n")
        making.rename(to)
    return validation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="generated, or a set in $BEADSEG_REAL_DATA")
    parser.add_argument("--sparse", action="store_true", help="mitochondria")
    parser.add_argument("--runs", type=Path, required=True, help="where to run")
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options, extra = parser.parse_known_args()
    sweep = options.runs / f"study_{options.data}"
    side, more = "small", []
    if options.data != "generated":
        side = "sparse" if options.sparse else "folder"
        source = real_set(options.data)
        folder = (options.runs / f"data_{options.data}").absolute()
        percents = (100,) if options.sparse else (100, 50)
        validation = prepare(source, folder, percents)
        more = [
            f"--config.data.dir={folder}",
            f"--config.data.validation={tuple(validation)}",
        ]
    command = [
        *(sys.executable, "-m", "beadseg.main"),
        f"--config=configs/study_domain_shift.py:{side}",
        *(f"--workdir={sweep}", *more, *extra),
    ]
    subprocess.run(command, check=True)
    reading, study = read_study(sweep)
    write_page(reading, study, sweep / FILE)
    result = numbers(reading, study)
    print(json.dumps(result["claims"], indent=2))
    if options.write:
        keep(f"study_{options.data}", result)


if __name__ == "__main__":
    main()
