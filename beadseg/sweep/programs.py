"""How one step of several members runs on a device: in turn, in streams, together.

All take the members' own states, so that a member can leave between two steps. Which
is fastest depends on the device: weights under `vmap` make grouped convolutions, which
a CPU computes 2 to 5 times slower, while steps side by side keep its cores busy where
one alone does not; a small network leaves a GPU idle when in turn.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from beadseg import models
from beadseg.errors import BeadsegError
from beadseg.threads import in_order
from beadseg.training.state import create_state, hyperparameters
from beadseg.training.step import make_train_step

# -> (state, sums) of each member, in order
Program = Callable[[Sequence, Sequence, Any], Iterable]

WIDTH = {"cpu": 2}  # members measured together; elsewhere 4
ROUNDS = 3
BUDGET = 60.0  # s; what has not begun by then is not measured
GAIN = 1.05  # a way other than in turn has to be faster by this much
STREAMS = 4  # steps side by side, at most: each has its own activations


class ExecutionMode(NamedTuple):
    """How members run, and why."""

    over_members: str
    why: str
    member_steps_per_second: dict[str, float]  # of what was measured


def in_turn(step: Callable, width: int = 1) -> Program:
    """The single step called for each member: `step` is compiled already."""

    def program(states, hps, batch):
        return [step(s, hp, batch) for s, hp in zip(states, hps, strict=True)]

    return program


def in_streams(step: Callable, width: int) -> Program:
    """The single step, compiled already, called for up to `width` members at a time.

    The CPU runs in order what one thread asks for, so each has a thread. Members come
    back as soon as they are done, so that the host's work on them overlaps the rest.
    """
    streams = max(min(width, STREAMS, os.cpu_count() or 1), 1)

    def program(states, hps, batch):
        def one(member):
            return jax.block_until_ready(step(*member, batch))

        with ThreadPoolExecutor(streams) as pool:
            members = zip(states, hps, strict=True)
            yield from in_order(pool, one, members, len(states))

    return program


def unrolled(step: Callable, width: int) -> Program:
    """The steps of up to `width` members written out in one program."""

    return _in_chunks(jax.jit(in_turn(step), donate_argnums=0), width)


def vmapped(step: Callable, width: int) -> Program:
    """One batched step of up to `width` members."""

    def chunk(states, hps, batch):
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
        numbers = jax.tree.map(lambda *leaves: jnp.stack(leaves), *hps)
        out = jax.vmap(step, in_axes=(0, 0, None))(stacked, numbers, batch)
        return [jax.tree.map(lambda x, i=i: x[i], out) for i in range(len(states))]

    return _in_chunks(jax.jit(chunk, donate_argnums=0), width)


OVER_MEMBERS: dict[str, Callable[[Callable, int], Program]] = {
    "loop": in_turn,
    "streams": in_streams,
    "unroll": unrolled,
    "vmap": vmapped,
}
OF_COMPILED = ("loop", "streams")  # the others compile the step themselves


def check(how: str) -> None:
    """Raises BeadsegError for an unknown way."""
    if how != "auto" and how not in OVER_MEMBERS:
        raise BeadsegError(
            f"config.sweep.over_members = {how!r} is unknown: use one of "
            f"{['auto', *OVER_MEMBERS]}"
        )


def choose(config: ConfigDict, members: int, seconds: float) -> ExecutionMode:
    """Measures the ways for `members` of a group that takes some `seconds` in turn.

    On a CPU the network is replaced by its first levels, where nearly all of the time
    goes: compiling three forms of the whole would take minutes.
    """
    if members == 1:
        return ExecutionMode("loop", "one member", {})
    backend = jax.default_backend()
    ways = ways_of(backend, jax.local_device_count(), os.cpu_count() or 1)
    if seconds < BUDGET:
        why = f"in turn it takes about {seconds:.0f} s: too short to measure other ways"
        return ExecutionMode("streams" if "streams" in ways else "loop", why, {})
    stand_in = config.copy_and_resolve_references()
    if backend == "cpu":
        stand_in.model.update(models.MODELS[config.model.name].stand_in)
    begin, rates = time.monotonic(), {}
    for name in ways:
        if time.monotonic() - begin > BUDGET and rates:
            break
        width = min(members, WIDTH.get(backend, 4))
        try:
            rates[name] = _member_steps_per_second(stand_in, name, width)
        except jax.errors.JaxRuntimeError:
            continue  # no memory for it
    if not rates:
        return ExecutionMode("loop", "nothing else fits into memory", {})
    measured = ", ".join(f"{name} {rate:.2f}" for name, rate in rates.items())
    where = jax.devices()[0].device_kind
    why = f"measured on {where}, member-steps per second: {measured}"
    return ExecutionMode(fastest(rates), why, rates)


def ways_of(backend: str, devices: int, cores: int) -> list[str]:
    """The ways that may be the fastest.

    A GPU runs steps side by side in turn all the same, and several devices are busy
    side by side when asked in turn.
    """
    streams = backend == "cpu" and devices == 1 and cores > 1
    return [name for name in OVER_MEMBERS if name != "streams" or streams]


def fastest(rates: Mapping[str, float]) -> str:
    """The way of the highest rate; in turn, unless another is faster by `GAIN`."""
    return max(rates, key=lambda n: rates[n] * (GAIN if n == "loop" else 1.0))


def _member_steps_per_second(config: ConfigDict, how: str, width: int) -> float:
    model = models.build(config.model)
    step = make_train_step(model, config, 1000)
    hp = hyperparameters(config)
    rng = np.random.default_rng(0)
    side = config.data.crop
    pixels = rng.random((config.data.batch_size, side, side, 1), np.float32)
    batch = {"image": pixels, "mask": np.round(pixels), "weight": np.ones_like(pixels)}
    if "distance" in config.model.heads:
        batch["distance"] = pixels
    if how in OF_COMPILED:
        step = jax.jit(step, donate_argnums=0)
    program = OVER_MEMBERS[how](step, width)
    like = jax.eval_shape(lambda h: create_state(model, config, h), hp)
    states = [jax.tree.map(_any_values, like) for _ in range(width)]
    fastest = float("inf")
    for _ in range(1 + ROUNDS):  # the first compiles
        begin = time.perf_counter()
        pairs = list(program(states, [hp] * width, batch))
        jax.block_until_ready(pairs)
        states = [state for state, _ in pairs]
        fastest = min(fastest, time.perf_counter() - begin)
    return width / fastest


def _any_values(like: jax.ShapeDtypeStruct) -> jax.Array:
    """Numbers that take as long as any; making true weights would be compiled too."""
    if like.dtype == jnp.float32:
        return jnp.full(like.shape, 0.01, jnp.float32)
    return jnp.zeros(like.shape, like.dtype)


def _in_chunks(compiled: Callable, width: int) -> Program:
    """Chunks of powers of two: few programs, and none computes for who has left."""

    def program(states, hps, batch):
        pairs, at = [], 0
        while at < len(states):
            size = min(width, 2 ** ((len(states) - at).bit_length() - 1))
            end = at + size
            pairs += compiled(tuple(states[at:end]), tuple(hps[at:end]), batch)
            at = end
        return pairs

    return program
