"""Time of the default model's network with ONNX Runtime and with JAX, on processors.

  python -m tests.bench.runtime [--rounds 9] [--write]

A window at a time, by turns; JAX has its program already. The ratio is the seconds of
JAX over those of ONNX Runtime, round by round; above 1 ONNX Runtime is faster.
"""

import argparse
import statistics
import time
from dataclasses import replace

import numpy as np

from beadseg.default_model import DEFAULT
from beadseg.inference.networks.runtime import Graph, runtime
from beadseg.inference.run import load_run
from tests.bench.record import keep, rounded

SIDES = (256, 512, 1120)  # px of a window


def measure(side: int, rounds: int) -> dict:
    """Ratios and seconds of one size of windows."""
    run = load_run(DEFAULT)
    slow = replace(run, graph=Graph(run.graph.extent, None))
    libraries = {"jax": runtime(slow), "onnxruntime": runtime(run)}
    window = np.random.default_rng(0).random((side, side), np.float32)
    seconds = {name: [] for name in libraries}
    for _ in range(rounds + 1):
        for name, library in libraries.items():
            started = time.perf_counter()
            library.start(window, None)()
            seconds[name].append(time.perf_counter() - started)
    ratios = [a / b for a, b in zip(*seconds.values(), strict=True)][1:]
    return {
        "side_px": side,
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
        **{f"{k}_seconds": statistics.median(v[1:]) for k, v in seconds.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    rows = [rounded(measure(side, options.rounds)) for side in SIDES]
    for row in rows:
        print(row)
    if options.write:
        keep("runtime", {"rounds": options.rounds, "rows": rows})


if __name__ == "__main__":
    main()
