"""Peak memory of training steps, against the same network in PyTorch.

  python -m tests.bench.step_memory [--model unet] [--sides 128 256] [--write]

A process each: what it holds with its libraries imported, and its peak over five steps.
The ratio is that of what the steps add; below 1 beadseg needs less. Beadseg begins
twice: the first start compiles, and the compiler needs memory of its own; the second
finds the programs that the first one kept, as all later runs on a machine do.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile

from tests.bench.record import keep


def peak() -> float:
    """Largest resident memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def beadseg_steps(name: str, batch_size: int, side: int) -> dict[str, float]:
    import jax
    import numpy as np

    from beadseg import models
    from beadseg.training.devices import compile_steps
    from beadseg.training.state import create_state, hyperparameters
    from configs import base

    config = base.get_config()
    config.model.name, config.model.heads = name, ("mask",)
    config.data.batch_size = batch_size
    jax.block_until_ready(jax.numpy.zeros(1))  # the backend itself
    before = peak()
    model, hp = models.build(config.model), hyperparameters(config)
    image = np.random.default_rng(0).random((batch_size, side, side, 1), np.float32)
    batch = {"image": image, "mask": (image > 0.5).astype(np.float32)}
    batch["weight"] = np.ones_like(image)
    steps = compile_steps(model, config, 1000)
    state = steps.place(jax.jit(lambda h: create_state(model, config, h))(hp))
    for _ in range(5):
        state, sums = steps.train(state, hp, batch)
        jax.block_until_ready((state, sums))
    return {"before": before, "peak": peak()}


def torch_steps(name: str, batch_size: int, side: int) -> dict[str, float]:
    import torch

    from configs import base
    from tests.bench import torch_peer

    model = base.get_config().model
    torch.zeros(1)
    before = peak()
    peer = torch_peer.UNet(name, model.width, model.depth, model.norm)
    peer = peer.to(memory_format=torch.channels_last)
    image = torch.rand(batch_size, 1, side, side)
    image = image.contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(peer.parameters(), 1e-3, fused=True)
    for _ in range(5):
        optimiser.zero_grad(set_to_none=True)
        mask = (image > 0.5).float()
        torch_peer.dice_loss(peer(image, model.dropout), mask).backward()
        torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        optimiser.step()
    return {"before": before, "peak": peak()}


PARTIES = {"beadseg": beadseg_steps, "torch": torch_steps}


def megabytes(party: str, options: argparse.Namespace, side: int) -> dict[str, float]:
    """What a party says of itself, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.step_memory", "--here", party]
    command += ["--model", options.model, "--batch", str(options.batch)]
    command += ["--sides", str(side)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(options: argparse.Namespace, side: int) -> dict:
    """Both parties on images of a size, beadseg with an empty and a filled cache."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
        found = {
            "beadseg_first_start": megabytes("beadseg", options, side),
            "beadseg": megabytes("beadseg", options, side),
            "torch": megabytes("torch", options, side),
        }
    added = {party: row["peak"] - row["before"] for party, row in found.items()}
    return {
        "batch": [options.batch, side, side],
        "ratio": round(added["beadseg"] / added["torch"], 2),
        "ratio_first_start": round(added["beadseg_first_start"] / added["torch"], 2),
        "added_megabytes": {party: round(mb) for party, mb in added.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="unet")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--write", action="store_true", help="keep in results/")
    parser.add_argument("--here", choices=PARTIES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        found = PARTIES[options.here](options.model, options.batch, options.sides[0])
        print(json.dumps(found))
        return
    rows = []
    for side in options.sides:
        rows.append(measure(options, side))
        print(rows[-1], flush=True)
    if options.write:
        keep("step_memory", {"model": options.model, "rows": rows})


if __name__ == "__main__":
    main()
