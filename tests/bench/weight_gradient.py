"""Milliseconds of 3x3 convolutions: YNNPACK, as jaxlib has it, against Eigen.

  python -m tests.bench.weight_gradient [--write]

Processor time on one core, lowest of five, batch 8. "gradient" is that of the kernel,
"flipped" the same taken as that of a convolution from the output to the input.
"""

import argparse
import json
import os
import subprocess
import sys
import time

from beadseg.xla import FLAGS
from tests.bench.record import keep

# Side in pixels, channels, features: the convolutions of the default UNet.
SHAPES = [(128, 16, 16), (128, 32, 16), (64, 16, 32), (64, 64, 32), (32, 128, 64)]
LIBRARIES = {
    "ynnpack": "individual_convolution,individual_dot",
    "eigen": "",
}


def measure(side: int, channels: int, features: int) -> dict[str, float]:
    import jax
    import jax.numpy as jnp

    from beadseg.models.primitives import convolve_plain

    x = jnp.ones((8, side, side, channels))
    out = jnp.ones((8, side, side, features))
    kernel = jnp.ones((3, 3, channels, features))

    def gradient(x, out, kernel):
        return jax.vjp(lambda k: convolve_plain(x, k), kernel)[1](out)

    def lowest(function, *arguments):
        function, times = jax.jit(function), []
        for _ in range(6):
            begin = time.process_time()
            jax.block_until_ready(function(*arguments))
            times.append(1e3 * (time.process_time() - begin))
        return round(min(times[1:]), 1)  # the first one compiles

    return {
        "forward": lowest(convolve_plain, x, kernel),
        "gradient": lowest(gradient, x, out, kernel),
        "flipped": lowest(gradient, out, x, kernel.swapaxes(2, 3)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep in results/")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if options.here:
        print(json.dumps([measure(*shape) for shape in SHAPES]))
        return
    found = {}
    for library, value in LIBRARIES.items():
        flags = " ".join(f"{name}={value}" for name in FLAGS)
        answer = subprocess.run(
            [sys.executable, "-m", "tests.bench.weight_gradient", "--here"],
            env=os.environ | {"XLA_FLAGS": flags},
            check=True,
            capture_output=True,
            text=True,
        )
        found[library] = json.loads(answer.stdout)
    rows = [
        {"side": side, "channels": channels, "features": features}
        | {library: found[library][i] for library in LIBRARIES}
        for i, (side, channels, features) in enumerate(SHAPES)
    ]
    for row in rows:
        print(row)
    if options.write:
        keep("weight_gradient", {"milliseconds": rows})


if __name__ == "__main__":
    main()
