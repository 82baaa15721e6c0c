"""Speed of a training step and of a forward pass against the same network in PyTorch.

  python -m tests.bench.train_step [--model all] [--sides 128 256] [--write]
  python -m tests.bench.train_step --forward --batch 1 --sides 1024 --write  # a window

Weights are copied over and the outputs compared first; then the two take turns. A ratio
above 1 means that beadseg is faster. PyTorch runs channels_last with fused AdamW.
`--one-core` compares processor time on one core: where others use the machine too, the
time on the clock says more about them.
"""

import argparse
import itertools
import os
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import torch

from beadseg import models
from beadseg.training.devices import compile_steps
from beadseg.training.state import create_state, hyperparameters
from configs import base
from tests.bench import torch_peer
from tests.bench.record import keep


def ratios(ours, peer, rounds: int, clock: Callable) -> dict[str, float]:
    """Times of `peer` over those of `ours`, pair by pair: median, lowest, highest.

    With the medians themselves, in milliseconds.
    """
    times = []
    for _ in range(rounds + 2):
        times.append([])
        for run in (ours, peer):
            begin = clock()
            run()
            times[-1].append(1e3 * (clock() - begin))
    times = times[2:]  # the first ones warm up
    pairs = [peer / ours for ours, peer in times]
    ours, peer = (statistics.median(each) for each in zip(*times, strict=True))
    return {
        "median": round(statistics.median(pairs), 3),
        "lowest": round(min(pairs), 3),
        "highest": round(max(pairs), 3),
        "beadseg_ms": round(ours, 1),
        "torch_ms": round(peer, 1),
    }


class Pair(NamedTuple):
    """What is timed, ours and the peer's: the same function, compared before."""

    largest_difference: float
    forward: Callable
    torch_forward: Callable
    step: Callable
    torch_step: Callable


def pair(
    name: str, batch_size: int, side: int, depth: int = 4, compiled: bool = False
) -> Pair:
    """A model and its peer with the same weights, on a batch of images of `side` px.

    Both on the GPU where there is one. `compiled`: steps in bf16, the peer's by
    torch.compile; the forward passes that are compared first stay in f32.
    """
    config = base.get_config()
    config.model.bfloat16, config.model.depth = False, depth
    config.model.name = name
    config.model.heads = ("mask",)  # as the peer
    config.data.batch_size = batch_size
    model, hp = models.build(config.model), hyperparameters(config)
    state = jax.jit(lambda h: create_state(model, config, h))(hp)
    peer = torch_peer.copy_parameters(
        state.params,
        torch_peer.UNet(
            name, config.model.width, config.model.depth, config.model.norm
        ),
    )
    rng = np.random.default_rng(0)
    image = rng.random((batch_size, side, side, 1)).astype(np.float32)
    batch = {"image": image, "mask": (image > 0.5).astype(np.float32)}
    batch["weight"] = np.ones_like(image)
    channels_first = torch.tensor(image).permute(0, 3, 1, 2)
    pixels = channels_first.contiguous(memory_format=torch.channels_last)
    mask = (pixels > 0.5).float()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    peer, pixels, mask = peer.to(device), pixels.to(device), mask.to(device)
    variables = {"params": state.params, "batch_stats": state.statistics}
    forward = jax.jit(lambda x: model.apply(variables, x)["mask"])

    peer.eval()
    with torch.inference_mode():
        theirs = peer(pixels).permute(0, 2, 3, 1).cpu().numpy()
    difference = float(np.abs(np.asarray(forward(image)) - theirs).max())
    # A GPU computes convolutions of f32 in TF32, of three digits.
    limit = 1e-4 if device == "cpu" else 2e-2
    assert difference < limit, f"not the same function: {difference}"

    def torch_forward():
        peer.eval()
        with torch.inference_mode():
            peer(pixels)
        wait()

    def wait():
        if device == "cuda":
            torch.cuda.synchronize()

    if compiled:
        config.model.bfloat16 = True
        model = models.build(config.model)
    network = torch.compile(peer) if compiled else peer
    steps = compile_steps(model, config, 1000)
    held = [steps.place(state)]

    def our_step():
        held[0], sums = steps.train(held[0], hp, batch)
        jax.block_until_ready((held[0], sums))

    optimiser = torch.optim.AdamW(peer.parameters(), 1e-3, fused=True)

    def torch_step():
        peer.train()
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=compiled):
            logits = network(pixels, config.model.dropout).float()
        torch_peer.dice_loss(logits, mask).backward()
        torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        optimiser.step()
        wait()

    return Pair(
        difference,
        lambda: forward(image).block_until_ready(),
        torch_forward,
        our_step,
        torch_step,
    )


def measure(
    name: str, batch_size: int, side: int, rounds: int, clock: Callable, train: bool
) -> dict:
    """Ratios of a model on batches of images of `side` px; `train`: of a step too."""
    both = pair(name, batch_size, side)
    result = {
        "model": name,
        "batch": [batch_size, side, side],
        "largest_difference": both.largest_difference,
        "forward": ratios(both.forward, both.torch_forward, rounds, clock),
    }
    if train:
        result["training_step"] = ratios(both.step, both.torch_step, rounds, clock)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=[*models.MODELS, "all"], default="unet")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--sides", type=int, nargs="+", default=[128])
    parser.add_argument("--forward", action="store_true", help="no training step")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--one-core", action="store_true", help="processor time")
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    names = list(models.MODELS) if options.model == "all" else [options.model]
    clock = time.perf_counter
    if options.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        torch.set_num_threads(1)
        clock = time.process_time
    found = []
    for name, side in itertools.product(names, options.sides):
        row = measure(
            name, options.batch, side, options.rounds, clock, not options.forward
        )
        found.append(row)
        for what in ("training_step", "forward"):
            if what not in row:
                continue
            ratio = row[what]
            print(
                f"{name:18} {side} px {what:14} {ratio['median']:.2f} times PyTorch's "
                f"speed ({ratio['lowest']:.2f} to {ratio['highest']:.2f})",
                flush=True,
            )
    if options.write:
        time_of = "processor, one core" if options.one_core else "clock, all cores"
        kept = "forward" if options.forward else "train_step"
        keep(kept, {"rows": found, "time": time_of}, torch=torch.__version__)


if __name__ == "__main__":
    main()
