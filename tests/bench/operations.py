"""Where the time of a training step goes, operation by operation, beside PyTorch's.

  python -m tests.bench.operations [--model unet] [--side 128] [--write]

On one core, so that no operation hides behind another: of the profilers of XLA and of
PyTorch, milliseconds a step by kind of operation, and those that take longest. Both
profilers cost some time of their own.
"""

import argparse
import gzip
import json
import os
import re
import tempfile
from collections import Counter
from pathlib import Path

import jax
import torch
from torch.profiler import ProfilerActivity, profile

from beadseg import models
from tests.bench.record import keep
from tests.bench.train_step import pair

STEPS = 4
KINDS = {  # by what the names of operations hold, the first that fits
    "convolutions": "conv",
    "matrix products": r"dot|addmm|\bmm\b",
    "moved in memory": "transpose|copy|concatenate|pad|slice|cat",
    "sums and norms": "reduce|norm|sum|mean|var",
    "pooling": "pool",
}
REST = "each number by itself"


def kind(name: str) -> str:
    """Of an operation, by its name: a fusion is named after the last of its parts."""
    found = (k for k, pattern in KINDS.items() if re.search(pattern, name))
    return next(found, REST)


def ours(step) -> Counter:
    """Milliseconds of each operation of XLA in a step, by name."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(STEPS):
                step()
        (file,) = Path(folder).rglob("*.trace.json.gz")
        with gzip.open(file) as text:
            events = json.load(text)["traceEvents"]
    spent: Counter = Counter()
    for event in events:
        name = event.get("args", {}).get("hlo_op")
        if event.get("ph") == "X" and name and name != "while":
            spent[name] += event["dur"] / 1e3 / STEPS
    return spent


def theirs(step) -> Counter:
    """The same of PyTorch; of operations that call others, their own part."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(STEPS):
            step()
    return Counter(
        {
            event.key.removeprefix("aten::"): event.self_cpu_time_total / 1e3 / STEPS
            for event in profiler.key_averages()
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=list(models.MODELS), default="unet")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    both = pair(options.model, options.batch, options.side)
    found = {}
    for who, step, look in (
        ("beadseg", both.step, ours),
        ("torch", both.torch_step, theirs),
    ):
        for _ in range(2):
            step()
        spent = look(step)
        kinds: Counter = Counter()
        for name, milliseconds in spent.items():
            kinds[kind(name)] += milliseconds
        found[who] = {
            "milliseconds": round(spent.total(), 1),
            "by_kind": {k: round(ms, 1) for k, ms in kinds.most_common()},
            "longest": {k: round(ms, 1) for k, ms in spent.most_common(12)},
        }
    print(f"{'milliseconds a step, one core':32} {'beadseg':>9} {'PyTorch':>9}")
    for name in (*KINDS, REST):
        each = (found[who]["by_kind"].get(name, 0.0) for who in found)
        print(f"{name:32} " + " ".join(f"{ms:9.1f}" for ms in each))
    total = (found[who]["milliseconds"] for who in found)
    print(f"{'all':32} " + " ".join(f"{ms:9.1f}" for ms in total))
    if options.write:
        size = {"model": options.model, "batch": [options.batch, options.side]}
        keep("operations", size | found, torch=torch.__version__)


if __name__ == "__main__":
    main()
