"""All benchmarks by one command, and a table of what results/ holds.

  python -m tests.bench                     the table
  python -m tests.bench start_up predict    runs these, keeps what they find, the table
  python -m tests.bench --all               runs all that need nothing but two cores

Each is also a command of its own with flags of its own: python -m tests.bench.NAME
--help. Ratios compare two things measured in turns in one run; single times are told
with the machine that they are of. The peer is PyTorch: pip install -e '.[bench]'.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from beadseg.quoting import counted
from tests.bench.record import RESULTS

# What `--all` runs, with the flags that make it whole; about an hour on two cores.
QUICK = {
    "train_step": ["--model", "all", "--sides", "128", "256"],
    "step_memory": [],
    "weight_gradient": [],
    "operations": [],
    "input": [],
    "renderer": [],
    "linear": [],
    "memory": [],
    "predict": [],
    "sweep": [],
    "start_up": [],
    "diagnosis": [],
    "estimate": [],
    "reliability": [],
    "calibration": [],
    "intervals": [],
    "page": [],
    "analyze": ["--counts", "100", "300"],
    "reading": [],
}

Row = tuple[str, str, str]  # what, goal, found


def _train_step(found: dict) -> Iterator[Row]:
    for row in found["rows"]:
        size = f"{row['model']}, {row['batch'][1]} px"
        for what in ("training_step", "forward"):
            r = row[what]
            spread = f"{r['median']:.2f} ({r['lowest']:.2f} to {r['highest']:.2f})"
            yield f"{what.replace('_', ' ')} / PyTorch, {size}", ">= 1.0", spread


def _predict(found: dict) -> Iterator[Row]:
    for row in found["rows"]:
        if "around" in row:
            what = f"prediction / network alone, {row['size']} px"
            yield what, "<= 1.25", f"{1 + row['around']:.2f}"


def _default_model(found: dict) -> Iterator[Row]:
    from tests.bench.default_model import goals  # loads what the others do without

    return goals(found["sets"])


def _predict_speed(found: dict) -> Iterator[Row]:
    for name, row in found.get("lab", {}).items():
        goal = "<= 7 s" if name.startswith("frame") else ""
        yield f"predict, a {name}, all outputs", goal, f"{row['command_seconds']:.1f} s"
    for row in found["generated"]:
        what = (
            f"predict, {row['megapixels']:.0f} megapixels of {row['diameter_px']:g} px"
        )
        goal = ">= 1.0 MPix/s" if row["megapixels"] > 4 else ""
        yield what, goal, f"{row['predict_megapixels_per_second']:.2f} MPix/s"


def _stardist(found: dict) -> Iterator[Row]:
    goals = {(80, 2048): 4, (80, 4096): 6}
    for row in found["rows"]:
        size = (row["diameter_px"], row["side_px"])
        r = row["ratio"]
        spread = f"{r['median']:.2f} ({r['lowest']:.2f} to {r['highest']:.2f})"
        what = f"StarDist / predict, {size[0]} px beads, {size[1]} px"
        yield what, f">= {goals.get(size, 2)}", spread


def _start_up(found: dict) -> Iterator[Row]:
    more = found["help_seconds"]["more"]
    yield "help, more than an empty Python", "<= 0.4 s", f"{more:.2f} s"
    ratio = found["first_step_seconds"]["ratio"]
    yield "first step, second start / first", "<= 0.33", f"{ratio:.2f}"
    for name, seconds in found.get("predict_seconds", {}).items():
        goal = {"cold": 3, "warm": 2}[name]
        yield (
            f"predict, one image of 512 px, {name}",
            f"<= {goal} s",
            f"{seconds:.1f} s",
        )


def _ratio(what: str, goal: str) -> Callable[[dict], Iterator[Row]]:
    def rows(found: dict) -> Iterator[Row]:
        yield what, goal, f"{found['ratio']:.2f}"

    return rows


def _input(found: dict) -> Iterator[Row]:
    yield "input / what training eats", ">= 2", f"{found['crops_per_second']['ratio']}"


def _renderer(found: dict) -> Iterator[Row]:
    rate = found["beads_images_per_second_two_processes"]
    yield "images drawn a second, two cores", ">= 50", f"{rate:.0f}"


def _estimate(found: dict) -> Iterator[Row]:
    goals = {"count": 80, "diameter": 90, "coverage": 80}
    for what, goal in goals.items():
        share = f"{100 * found['within_limits'][what]:.0f} %"
        yield f"generated sets, {what} near the truth", f">= {goal} %", share


def _calibration(found: dict) -> Iterator[Row]:
    for kind, held in found["straight"].items():
        for name in ("slope", "undiluted", kind):
            what = f"95 % interval of the {name} holds the truth, {kind} series"
            yield what, "93 to 97 %", f"{100 * held[name]:.1f} %"
    for row in found["rows"]:
        if "bend_seen" in row:
            k, cv = row["design"]["clumping"], row["cv"]
            what = f"bend by clumping is seen, k {k:g}, CV {cv:g}"
            yield what, "", f"{100 * row['bend_seen']:.0f} %"


def _intervals(found: dict) -> Iterator[Row]:
    for row in found["rows"]:
        of = f"{row['images']} images that differ by {row['between']:g}"
        goal = "93 to 97 %" if row["images"] not in range(2, 12) else ""
        for name in ("median", "cv"):
            what = f"95 % interval of the {name} of sizes holds the truth, {of}"
            yield what, goal, f"{100 * row[name]:.1f} %"


def _page(found: dict) -> Iterator[Row]:
    for name in ("many", "one"):
        row = found[name]
        size = f"{counted(row['images'], 'image')}, {row['beads']:,} beads"
        what, took = f"page of a prediction, {size}", row["seconds"]["page"]
        goals = ("<= 20 s", "<= 8 MB") if name == "many" else ("", "")
        yield f"{what}, processor time", goals[0], f"{took:.1f} s"
        yield what, goals[1], f"{row['page_megabytes']:.1f} MB"
        again = f"{row['again_over_first']:.2f}"
        yield f"measuring again / first, {size}", "<= 1", again


def _diagnosis(found: dict) -> Iterator[Row]:
    yield "planted illness named first", ">= 90 %", f"{100 * found['first']:.0f} %"
    alarms = f"{len(found['false_alarms'])} of {found['healthy']}"
    yield "healthy runs with a false alarm", "<= 1 of 20", alarms


def _analyze(found: dict) -> Iterator[Row]:
    last = found["rows"][-1]
    what = f"analyze, {last['images']} images of 1024 px, an image"
    yield what, "<= 0.6 s", f"{last['seconds_an_image']:.2f} s"
    if "ratio" in found:
        what = f"memory of analyze, {last['images']} images / fewer"
        yield what, "<= 1.3", f"{found['ratio']:.2f}"


def _review(found: dict) -> Iterator[Row]:
    size = f"{found['side']} px, {found['beads']} beads"
    first, keys = found["first_picture_seconds"], found["key_ms"].values()
    yield f"review page, first picture, {size}", "<= 2 s", f"{first:.1f} s"
    slowest = max(key["longest"] for key in keys)
    yield "review page, from a key to what it does", "<= 100 ms", f"{slowest:.0f} ms"


def _reliability(found: dict) -> Iterator[Row]:
    for name, row in found["kinds"].items():
        what = f"{row['what']}, {name.replace('_', ' ')}"
        yield what, "all", f"{row['held']} of {row['of']}"


def _completion(goal: float, stated: float) -> Callable[[dict], Iterator[Row]]:
    def rows(found: dict) -> Iterator[Row]:
        row = next(r for r in found["rows"] if r["row"] == "drop_random:0.5")
        at = next(a for a in row["accepted"] if a["stated"] == stated)
        what = f"of {row['beads']} half left out, in masks at precision {stated}"
        yield what, f">= {goal}", f"{at['beads_in_masks']:.3f} (is {at['true']:.3f})"

    return rows


def _operations(found: dict) -> Iterator[Row]:
    ours, theirs = (found[who]["by_kind"] for who in ("beadseg", "torch"))
    for what in ("convolutions", "moved in memory", "sums and norms"):
        told = f"{ours.get(what, 0):.0f} / {theirs.get(what, 0):.0f} ms"
        yield f"training step on one core / PyTorch, {what}", "", told


def _step_memory(found: dict) -> Iterator[Row]:
    for row in found["rows"]:
        size = f"{found['model']}, {row['batch'][1]} px"
        told = f"{row['ratio']:.2f} (while it compiles {row['ratio_first_start']:.2f})"
        yield f"memory of training steps / PyTorch, {size}", "<= 1.0", told


def _reading(found: dict) -> Iterator[Row]:
    for kind, row in found["kinds"].items():
        yield f"reading {kind} / its library", "<= 1.2", f"{row['ratio']:.2f}"
        held = f"{row['planes_needed']:.1f} (held {row['planes_held']:.1f})"
        yield f"memory of reading 200 planes of {kind}, in planes", "<= 3", held


def _linear(found: dict) -> Iterator[Row]:
    for name in ("images", "pixels", "members", "devices"):
        part = found.get(name)
        if part is None:
            continue
        times = part["work"][-1] / part["work"][0]
        what = f"cost of as much work, {times:.0f} times the {name}"
        yield what, "linear", f"{part['cost_of_as_much'][-1]:.2f}"
        if "slope" in part:
            yield f"slope of its cost, {name}", "<= 1.05", f"{part['slope']:.2f}"


def _sweep(found: dict) -> Iterator[Row]:
    for row in found["rows"]:
        size = f"{row['members']} members of {row['steps']} steps"
        share = f"{row['share_of_separate']:.2f}"
        yield f"{size} / as separate runs", "<= 0.5", share
        rate = f"{row['against_single_step']:.2f}"
        yield f"{size}, member-steps / the single step", ">= 1.0", rate
    if "tracking" in found:
        size = f"of a sweep of {found['tracking']['members']} members"
        share = f"{100 * found['tracking']['share']:.1f} %"
        yield f"W&B's share of the time {size}", "<= 3 %", share
        seconds = f"{found['seconds_to_plan_200_points']} s"
        yield "plan of 200 points, from the command to its end", "<= 5 s", seconds


def _partial(data: str, goals: dict[str, float]) -> Callable[[dict], Iterator[Row]]:
    def rows(found: dict) -> Iterator[Row]:
        for row, goal in goals.items():
            shares = [100 * c["share"] for c in found["cells"] if c["row"] == row]
            if shares:
                told = f"{sum(shares) / len(shares):.1f} %, {len(shares)} seeds"
                if len(shares) > 1:
                    told += f" ({min(shares):.1f} to {max(shares):.1f})"
                yield f"{data}, {row}: of full labels", f">= {goal} %", told

    return rows


KINDS = ("drop_dim:0.5", "drop_blurred:0.5", "drop_crowded:0.5", "drop_outside:0.5")
RANDOM = ("drop_random:0.5", "drop_random:0.8", "drop_random:0.95")
REAL = dict(zip(RANDOM, (97, 94, 88), strict=True)) | dict.fromkeys(KINDS, 92)
DRAWN = dict(zip(RANDOM, (98.5, 97, 93), strict=True)) | dict.fromkeys(KINDS, 95)

TABLE: dict[str, Callable[[dict], Iterator[Row]]] = {
    "train_step": _train_step,
    "operations": _operations,
    "step_memory": _step_memory,
    "input": _input,
    "renderer": _renderer,
    "memory": _ratio("memory, 80 images / 10 images", "<= 1.15"),
    "default_model": _default_model,
    "predict_speed": _predict_speed,
    "stardist": _stardist,
    "predict": _predict,
    "start_up": _start_up,
    "diagnosis": _diagnosis,
    "estimate": _estimate,
    "calibration": _calibration,
    "intervals": _intervals,
    "page": _page,
    "analyze": _analyze,
    "review": _review,
    "reading": _reading,
    "reliability": _reliability,
    "sweep": _sweep,
    "linear": _linear,
    "partial_generated_small": _partial("generated", DRAWN),
    "partial_emps_spheres_dev_finetune_small": _partial("spheres", REAL),
    "partial_dsb2018_nuclei_dev_finetune_small": _partial("nuclei", REAL),
    "completion_generated_default": _completion(0.98, 0.98),
    "completion_emps_spheres_dev_default": _completion(0.93, 0.95),
}


def table() -> str:
    """What results/ holds, as lines of columns; nothing of what was never measured."""
    rows: list[Row] = [("", "goal", "found")]
    for name, of in TABLE.items():
        file = RESULTS / f"{name}.json"
        if file.exists():
            rows.extend(of(json.loads(file.read_text())))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="*", help=f"of {', '.join(QUICK)}")
    parser.add_argument("--all", action="store_true", help="all of these")
    options = parser.parse_args()
    names = list(QUICK) if options.all else options.name
    for name in names:
        if name not in QUICK:
            parser.error(f"no benchmark '{name}': give of {', '.join(QUICK)}")
    failed = []
    for name in names:
        started = time.monotonic()
        command = [sys.executable, "-m", f"tests.bench.{name}", *QUICK[name], "--write"]
        print(f"+ {' '.join(command[1:])}", flush=True)
        if subprocess.run(command).returncode:
            failed.append(name)
        print(f"  {(time.monotonic() - started) / 60:.1f} min\n", flush=True)
    print(table())
    if failed:
        sys.exit(f"error: {', '.join(failed)}: failed, see above")


if __name__ == "__main__":
    main()
