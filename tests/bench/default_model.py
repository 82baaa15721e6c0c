"""The default model on images that it never saw, as a user runs it.

  BEADSEG_REAL_DATA=DIR:DIR python -m tests.bench.default_model --cases DIR --write
  ... python -m tests.bench.default_model --half 0    # every other image of each set
  ... python -m tests.bench.default_model --sets emps_spheres_dev empty --first 2

`beadseg predict` with nothing given, on each set:

  brightfield_dilution_dev     a centre is right within 2 px of a connected piece of the
                               mask, a piece found within 2 px of a centre; slope of the
                               log of the mean count against that of the concentration
  empty                        generated fields without a bead, and those of --cases
  microgels_bf_dev             beads of known circles at IoU 0.5; what touches the
                               border is ignored
  bubbles_dev                  connected pieces of the masks; recall by true diameter
  emps_spheres_dev, dsb2018_nuclei_dev, beadnet_latex_dev
                               as `beadseg evaluate` has it; of the last, centres
                               within half a diameter
  polymer_beads_lm_unlabelled  counts alone

A choice that was made on one half of the images is reported on the other: --half 0 or 1
takes the images of even or odd place in the order of names.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench import empty_fields
from tests.bench.command import predict
from tests.bench.real_sets import SETS, images_of, measure
from tests.bench.record import keep, rounded
from tests.real_data import real_set

EMPTY = "empty"
ORDER = ("brightfield_dilution_dev", EMPTY)  # then the others, as they stand
Goal = tuple[str, str, str]  # what, goal, found


def goals(sets: dict[str, dict]) -> Iterator[Goal]:
    """What is to be reached, beside what was."""
    if found := sets.get("brightfield_dilution_dev"):
        for name, row in found["dilutions"].items():
            told = f"{row['precision']:.3f} / {row['recall']:.3f}"
            yield f"dilution {name}, precision / recall", ">= 0.95 / 0.95", told
        yield (
            "dilutions, slope less that of the masks",
            "+-0.05",
            _signed(found["slope_error"]),
        )
    if found := sets.get(EMPTY):
        row = found["all"]
        share = f"{100 * row['with_any_bead']:.1f} %"
        yield f"{row['images']} empty fields, with any bead", "<= 2 %", share
        false = f"{row['false_per_megapixel']:.2f}"
        yield "empty fields, false beads per megapixel", "<= 0.2", false
        lacking = f"{len(row['without_a_row'])}"
        yield "empty fields without a row in images.csv", "0", lacking
    if found := sets.get("microgels_bf_dev"):
        yield "microgels, sure beads found", ">= 0.90", f"{found['found']:.2f}"
        false = f"{found['false_for_each_sure_bead']:.2f}"
        yield "microgels, false for each sure bead", "<= 0.1", false
    if found := sets.get("bubbles_dev"):
        yield "bubbles, AP at IoU 0.5", ">= 0.75", f"{found['ap50']:.3f}"
        for name, row in found["octaves"].items():
            if row["beads"]:
                what = f"bubbles of {name} ({row['beads']}), recall"
                yield what, ">= 0.85", f"{row['recall']:.3f}"
    if found := sets.get("emps_spheres_dev"):
        yield "spheres, AP at IoU 0.5", ">= 0.94", f"{found['ap50']:.3f}"
        yield "spheres, PQ", ">= 0.86", f"{found['pq']:.3f}"
        yield "spheres, mean count error", "<= 4 %", _percent(found)
    if found := sets.get("dsb2018_nuclei_dev"):
        yield "nuclei, AP at IoU 0.5", ">= 0.82", f"{found['ap50']:.3f}"
    if found := sets.get("beadnet_latex_dev"):
        yield "latex, F1 of centres", ">= 0.96", f"{found['detection_f1']:.3f}"
        yield "latex, mean count error", "<= 4 %", _percent(found)
    if found := sets.get("polymer_beads_lm_unlabelled"):
        for name, row in found["counts"].items():
            told = f"{row['whole_beads']}, {row['under_a_fifth_of_it']}"
            yield f"polymer beads, {name}, whole and under 1/5 of the median", "", told


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*ORDER, *(name for name in SETS if name not in ORDER)]
    parser.add_argument(
        "--sets", nargs="+", choices=names, default=names, metavar="SET", help="(all)"
    )
    parser.add_argument("--run", help="a run folder; without it the default model")
    parser.add_argument("--half", type=int, choices=(0, 1), help="of each set")
    parser.add_argument("--first", type=int, help="images of each set (all)")
    parser.add_argument("--fields", type=int, default=60, help="empty ones drawn (60)")
    parser.add_argument("--cases", type=Path, help="folder of cases of empty fields")
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    if options.write and (options.first or set(options.sets) != set(names)):
        parser.error("--write keeps all sets: leave out --sets and --first")
    try:
        data = {name: real_set(name) for name in options.sets if name != EMPTY}
        if options.cases:
            for case in empty_fields.CASES:
                if not (options.cases / case / "in").is_dir():
                    parser.error(f"--cases {options.cases}: holds no {case}/in")
    except FileNotFoundError as error:
        parser.error(str(error))
    model = ["--run", options.run] if options.run else []

    def choose(files: list[Path]) -> list[Path]:
        part = files if options.half is None else files[options.half :: 2]
        return part[: options.first]

    sets = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for name in options.sets:
            if name == EMPTY:
                found = empty_fields.measure(
                    options.fields, options.cases, choose, folder / EMPTY, model
                )
            else:
                files = choose(images_of(data[name]))
                predicted = predict(files, folder / name, model)
                found = measure(data[name], files, predicted)
            sets[name] = rounded(found)
            print(name, json.dumps(sets[name], indent=2), flush=True)
    rows = [("", "goal", "found"), *goals(sets)]
    width = max(len(what) for what, _, _ in rows)
    for what, goal, told in rows:
        print(f"{what:{width}}  {goal:14}  {told}")
    if options.write:
        half = "" if options.half is None else f"_half_{options.half}"
        keep(f"default_model{half}", {"sets": sets})


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _percent(found: dict) -> str:
    return f"{100 * found['mean_count_error']:.1f} %"


if __name__ == "__main__":
    main()
