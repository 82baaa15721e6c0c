"""All that is to be measured on a GPU, in one call of nine minutes.

  python -m tests.bench.gpu [--out runs/gpu] [--minutes 9] [--only step members]

Where the time ends it stops, and the same command continues from there: what is found
lies in OUT/gpu.json, its picture in OUT/gpu.png, what is trained in OUT/runs. A case
that did not end in two calls is left out. A machine that has jax (0.10 to 0.12) and
nothing else needs no network: first where there is one, by the same Python, then there

  pip wheel -w wheels --no-deps -r tests/requirements.lock && rm wheels/jax*
  pip install --no-deps --no-index wheels/*

smoke    200 steps in f32 and in bf16, by jit and by pmap, whole and stopped halfway
step     a training step of three models and two sizes against torch.compile, bf16; its
         share of the roofline: the time that the device needs at its best for as many
         operations and bytes as XLA counts (a product of matrices and a copy tell both)
members  a step of 1 to 32 members of configs/smoke.py by vmap, unroll and loop
predict  files to files, MPix/s; the share of reading and writing; the network alone
long     configs/dice.py:full, and the default model trained ten times as long

Each part has a process of its own; what is measured in it tells the peak of its memory.
--small does the same with little, for a machine without a GPU.
"""

import argparse
import dataclasses
import functools
import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.bench.record import keep, rounded
from tests.bench.step_memory import peak

ROOT = Path(__file__).parents[2]
SAVING = 40.0  # s before the end: enough for a run to save
TRIES = 2  # calls in which a case may begin


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is done."""

    steps: int = 200  # of the smoke test
    smoke: tuple[str, ...] = ()  # settings of it
    models: tuple[str, ...] = ("unet", "attention_unet", "attention_resunet")
    sides: tuple[int, ...] = (128, 256)  # px
    batch: int = 32
    depth: int = 4  # of the networks; of members at most 3
    rounds: int = 9
    matrix: int = 8192  # side of the product that tells what the device can do
    members: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    member_side: int = 64  # px
    image: int = 4096  # px, a side
    images: int = 4
    long: tuple[str, ...] = ()  # settings of both


TINY = ("--config.data.generated.count=4", "--config.data.generated.size=64")
TINY += ("--config.data.crop=32", "--config.data.batch_size=2")
TINY += ("--config.model.width=2", "--config.model.depth=1")
SMALL = Size(
    steps=8,
    smoke=TINY,
    models=("unet",),
    sides=(32,),
    batch=2,
    depth=1,
    rounds=2,
    matrix=256,
    members=(1, 2),
    member_side=32,
    image=512,
    images=2,
    long=(
        *(*TINY, "--config.init_from=", "--config.data.generated.size=192"),
        *("--config.train.epochs=1", "--config.train.steps_per_epoch=2"),
    ),
)


def smoke(size: Size, out: Path) -> Iterator[tuple[str, Callable]]:
    epochs = 4
    settings = [*size.smoke, f"--config.train.steps_per_epoch={size.steps // epochs}"]
    settings += [f"--config.train.epochs={epochs}", "--config.log.every=2"]
    ways = {"f32": (False, "jit"), "bf16": (True, "jit"), "pmap": (True, "pmap")}

    def run(name: str, way: str, stop: bool = False) -> dict:
        half, how = ways[way]
        folder = out / "runs" / name
        more = [f"--config.model.bfloat16={half}", f"--config.train.parallel={how}"]
        return train("smoke.py", folder, [*settings, *more], stop_after=stop)

    for name in ways:
        yield name, lambda name=name: run(name, name)

    def resumed() -> dict:
        run("resumed", "bf16", stop=True)
        found = run("resumed", "bf16")
        rows = [losses(out / "runs" / name) for name in ("bf16", "resumed", "pmap")]
        whole, again, pmap = rows
        apart = max((abs(a - b) for a, b in zip(whole, again, strict=True)), default=0)
        return found | {
            "largest_difference_of_loss": apart,
            "of_pmap": max(abs(a - b) for a, b in zip(whole, pmap, strict=True)),
        }

    yield "resumed", resumed


def train(config: str, folder: Path, settings: list[str], stop_after=False) -> dict:
    """A run as typed, or what there is of it when the time is over: it goes on."""
    command = [sys.executable, "-m", "beadseg.main", f"--config=configs/{config}"]
    command += [f"--workdir={folder}", "--config.log.wandb=off", *settings]
    begin = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        while stop_after and process.poll() is None and not losses(folder):
            time.sleep(0.1)
        if stop_after:
            process.terminate()
        code = process.wait()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    found: dict[str, Any] = {"seconds": time.monotonic() - begin, "exit_code": code}
    summary = folder / "summary.json"
    if summary.exists():
        names = ("best_jaccard", "final_jaccard", "final_epoch", "images_per_second")
        told = json.loads(summary.read_text())
        found |= {name: told[name] for name in (*names, "verdict")}
        shares = [(r["seconds_data"], r["seconds_step"]) for r in rows_of(folder)[1:]]
        data, step = map(sum, zip(*shares, strict=True)) if shares else (0.0, 1.0)
        found["share_waiting_for_input"] = data / (data + step)
    elif not stop_after:
        if code not in (130, 143, -signal.SIGTERM):
            raise RuntimeError(f"{folder.name}: ended with exit code {code}")
        found["unfinished"] = True
    return found


def rows_of(folder: Path) -> list[dict]:
    from beadseg.training.tracking.tracker import read_rows

    rows = read_rows(folder / "metrics.jsonl")
    return [row for row in rows if row["kind"] == "train"]


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in rows_of(folder)]


def step(size: Size, out: Path) -> Iterator[tuple[str, Callable]]:
    for side in size.sides:
        for name in size.models:
            yield f"{name}, {side} px", lambda n=name, s=side: one_step(n, s, size)


def one_step(name: str, side: int, size: Size) -> dict:
    """Time, operations and bytes of a step in bf16, beside the peer's time."""
    import jax
    import numpy as np

    from beadseg import models
    from beadseg.training.state import create_state, hyperparameters
    from beadseg.training.step import make_train_step
    from configs import base

    config = base.get_config()
    config.model.name, config.model.heads = name, ("mask",)
    config.model.bfloat16, config.data.batch_size = True, size.batch
    config.model.depth = size.depth
    model, hp = models.build(config.model), hyperparameters(config)
    state = jax.jit(lambda h: create_state(model, config, h))(hp)
    image = np.random.default_rng(0).random((size.batch, side, side, 1), np.float32)
    batch = {"image": image, "mask": np.round(image), "weight": np.ones_like(image)}
    batch = jax.device_put(batch)
    lowered = jax.jit(make_train_step(model, config, 1000), donate_argnums=0).lower(
        state, hp, batch
    )
    compiled = lowered.compile()
    counted, needs = compiled.cost_analysis(), compiled.memory_analysis()
    # The compiled program may hide convolutions in calls of a library.
    operations = max(counted["flops"], lowered.cost_analysis()["flops"])

    def several(times: int) -> float:
        nonlocal state
        begin = time.perf_counter()
        for _ in range(times):
            state, _ = compiled(state, hp, batch)
        jax.block_until_ready(state)
        return (time.perf_counter() - begin) / times

    several(2)
    seconds = min(several(5) for _ in range(size.rounds))
    best, bandwidth = ceiling(size.matrix)
    limits = operations / best, counted["bytes accessed"] / bandwidth
    found = {
        "ms": 1e3 * seconds,
        "gigaoperations": operations / 1e9,
        "gigabytes": counted["bytes accessed"] / 1e9,
        "share_of_roofline": max(limits) / seconds,
        "bound_by": ("operations", "bytes")[limits[1] > limits[0]],
        "temporary_megabytes": needs.temp_size_in_bytes / 1e6,
    }
    if importlib.util.find_spec("torch") is None:
        return found | {"torch": "is not installed"}
    from tests.bench.train_step import pair, ratios

    both = pair(name, size.batch, side, size.depth, compiled=True)
    clock = time.perf_counter
    return found | {"torch": ratios(both.step, both.torch_step, size.rounds, clock)}


@functools.cache
def ceiling(side: int) -> tuple[float, float]:
    """Operations and bytes per second of a product of bf16 matrices, and of a copy."""
    import jax
    import jax.numpy as jnp

    ones = jnp.ones((side, side), jnp.bfloat16)
    product, copy = jax.jit(lambda x: x @ x), jax.jit(lambda x: x + 1)

    def fastest(run: Callable) -> float:
        seconds = []
        for _ in range(6):
            begin = time.perf_counter()
            run(ones).block_until_ready()
            seconds.append(time.perf_counter() - begin)
        return min(seconds[1:])

    return 2 * side**3 / fastest(product), 2 * ones.nbytes / fastest(copy)


def members(size: Size, out: Path) -> Iterator[tuple[str, Callable]]:
    from beadseg.sweep import programs
    from configs import smoke as settings

    config = settings.get_config()
    config.data.crop = size.member_side
    config.model.depth = min(size.depth, config.model.depth)
    for count in size.members:
        for how in ("loop", "vmap", "unroll"):

            def rate(how=how, count=count) -> dict:
                found = programs._member_steps_per_second(config, how, count)
                return {"member_steps_per_second": found}

            yield f"{count} by {how}", rate


def predict(size: Size, out: Path) -> Iterator[tuple[str, Callable]]:
    from tests.bench import predict as bench

    def rate() -> dict:
        with tempfile.TemporaryDirectory() as work:
            folder, run = Path(work, "images"), Path(work, "run")
            folder.mkdir()
            for number in range(size.images):
                bench.write_image(folder / f"{number}.tif", size.image)
            bench.write_run(run, 16, size.depth)
            found = bench.measure(folder, run, Path(work, "out"), network_too=True)
        megapixels = size.image**2 / 1e6
        network = size.images * found["network_seconds"]
        return {
            "megapixels_per_second": size.images * megapixels / found["seconds"],
            "network_alone": megapixels / found["network_seconds"],
            "share_of_input_and_output": 1 - network / found["seconds"],
        }

    yield f"{size.images} images of {size.image} px", rate


def long(size: Size, out: Path) -> Iterator[tuple[str, Callable]]:
    runs = {"dice.py:full": (), "default_model.py": ("--config.train.epochs=80",)}
    for config, more in runs.items():
        folder = out / "runs" / config.replace(".py", "").replace(":", "_")
        settings = [*more, *size.long]
        yield config, lambda c=config, f=folder, s=settings: train(c, f, s)


PARTS = {f.__name__: f for f in (smoke, step, members, predict, long)}


def here(part: str, size: Size, out: Path, done: list[str]) -> None:
    """The cases of a part in this process: a line as one begins, and of its outcome."""
    import jax

    device = jax.local_devices()[0]
    print(json.dumps({"device": device.device_kind, "is": device.platform}), flush=True)
    for name, case in PARTS[part](size, out):
        if name in done:
            continue
        print(json.dumps({"begins": name}), flush=True)
        try:
            found = case()
        except Exception as error:  # of any kind: it is a result
            found = {"error": " ".join(str(error).split())[:300]}
        if "exit_code" not in found:  # of a run, which has a process of its own
            most = (device.memory_stats() or {}).get("peak_bytes_in_use")
            found["peak_megabytes"] = peak() if most is None else most / 2**20
        print(json.dumps({"case": name, "found": found}), flush=True)
        if "unfinished" in found:  # told to stop
            sys.exit(143)


def call(part: str, options: argparse.Namespace, found: dict, until: float) -> bool:
    """Runs what is left of a part; False when the time ends before it does."""
    cases = found["cases"].setdefault(part, {})
    tried = found["tried"].setdefault(part, {})
    done = [n for n, case in cases.items() if not {"unfinished", "error"} & set(case)]
    given_up = [
        name
        for name, count in tried.items()
        if count >= TRIES and "unfinished" not in cases.get(name, {})
    ]
    command = [sys.executable, "-m", "tests.bench.gpu", "--here", part]
    command += ["--out", options.out, "--done", json.dumps(done + given_up)]
    command += ["--small"] if options.small else []
    # Not all memory at once: PyTorch, and runs that a part starts, need some too.
    shares = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=shares, stdout=subprocess.PIPE, text=True
    )
    left = until - time.monotonic()
    end = threading.Timer(left - SAVING, process.terminate)
    kill = threading.Timer(left, process.kill)
    end.start(), kill.start()
    try:
        for line in process.stdout:
            told = json.loads(line)
            if "device" in told:
                found["device"] = told["device"]
                if told["is"] == "cpu" and not options.small:
                    process.kill()
                    sys.exit("error: there is no GPU here: give --small")
            elif "begins" in told:
                tried[told["begins"]] = tried.get(told["begins"], 0) + 1
            else:
                cases[told["case"]] = rounded(told["found"])
                print(f"{part:8} {told['case']:28} {told['found']}", flush=True)
            write(options.out, found)
        return process.wait() == 0
    finally:
        end.cancel(), kill.cancel()


def write(out: Path, found: dict) -> None:
    keep("gpu", found, folder=out)
    draw(found["cases"], out / "gpu.png")


def draw(cases: dict, file: Path) -> None:
    """Four panels; what was not measured stays empty."""
    from matplotlib.figure import Figure

    figure = Figure((9, 6), layout="constrained")
    (speed, roof), (sweep, rates) = figure.subplots(2, 2)
    steps = {n: c for n, c in cases.get("step", {}).items() if "ms" in c}
    against = {n: c["torch"] for n, c in steps.items() if isinstance(c["torch"], dict)}
    speed.barh(list(against), [ratio["median"] for ratio in against.values()])
    speed.axvline(1.2, color="grey", linewidth=0.8)
    speed.set_title("training step, torch.compile's time / ours")
    roof.barh(list(steps), [100 * c["share_of_roofline"] for c in steps.values()])
    roof.axvline(40, color="grey", linewidth=0.8)
    roof.set_title("share of the roofline, %")
    ways: dict[str, list] = {}
    for name, case in cases.get("members", {}).items():
        count, how = name.split(" by ")
        rate = case.get("member_steps_per_second", math.nan)
        ways.setdefault(how, []).append((int(count), rate))
    for how, points in ways.items():
        sweep.plot(*zip(*sorted(points), strict=True), "o-", label=how)
    sweep.set_xscale("log", base=2)
    sweep.set(yscale="log", xlabel="members", title="member-steps per second")
    if ways:
        sweep.legend(frameon=False)
    for name, case in cases.get("predict", {}).items():
        if "network_alone" in case:
            told = case["megapixels_per_second"], case["network_alone"]
            rates.bar(["files to files", "network alone"], told)
        rates.set_title(f"prediction, MPix/s, {name}")
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--small", action="store_true", help="little, for a CPU")
    parser.add_argument("--here", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--done", type=json.loads, default=[], help=argparse.SUPPRESS)
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    options.out = options.out.resolve()
    size = SMALL if options.small else Size()
    if options.here:
        return here(options.here, size, options.out, options.done)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "gpu.json"
    found = {"small": options.small, "device": "", "cases": {}, "tried": {}}
    if file.exists():
        before = json.loads(file.read_text())
        found = {name: before[name] for name in found}
    if found["small"] != options.small:
        parser.error(
            f"{options.out}: was made without or with --small: give another --out"
        )
    for part in options.only:
        if not call(part, options, found, until):
            sys.exit(f"the time is over in {part}: the same command continues")
    failed = sum(
        "error" in c for part in found["cases"].values() for c in part.values()
    )
    if failed:
        sys.exit(f"{failed} cases failed, see {file}")
    print(f"all is done: {file}")


if __name__ == "__main__":
    main()
