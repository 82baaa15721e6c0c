"""From points to groups: members that share one compiled program, and what it costs.

Costs are read off the traced forward pass: multiplications of convolutions and matrix
products, and the arrays that they leave behind for the backward pass.
"""

import functools
import json
import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params
from ml_collections import ConfigDict

from beadseg import models
from beadseg.config import check_ranges, flatten
from beadseg.data.masks.sizes import AUTO
from beadseg.losses import loss_options
from beadseg.sweep.points import Point
from beadseg.training.run_folder import is_free
from beadseg.training.state import TRACED

# Read on the host alone, between two steps or before the first.
HOST = {f"train.{name}" for name in ("early_stopping", "threshold")} | {
    *("init_from", "train.weight_interpolation"),
    *(f"plateau.{name}" for name in ("enabled", "factor", "patience")),
}
# Of the peak that matrix products reach here, with what validation takes beside the
# steps: measured on two cores 0.23 on a UNet of width 8, 0.54 on one of width 16.
_EFFICIENCY = 0.35
# s on two slow cores: starting, and drawing images; compiling a step and an evaluation;
# curves, pictures and weights.
START, PROGRAM, MEMBER = 12.0, 5.5, 2.0
_KEPT = 3.0  # arrays kept for the backward pass, to each output of a convolution


class Group(NamedTuple):
    """Members that share one compiled program."""

    static: Point  # the swept fields that make it differ from other groups
    members: tuple[int, ...]  # numbers of points


class Cost(NamedTuple):
    """Estimates for one member of a group."""

    parameters: int
    flop: float  # of one training step
    state_bytes: int  # weights and optimiser
    step_bytes: int  # besides, while a step runs


def groups(configs: Sequence[ConfigDict], numbers: Sequence[int]) -> list[Group]:
    """Groups in the order of their first members.

    Raises:
      BeadsegError: a number is out of its range, or a name unknown.
    """
    found: dict[str, list[int]] = {}
    static: dict[int, dict[str, Any]] = {}
    for number, config in zip(numbers, configs, strict=True):
        check_ranges(config)
        loss_options(config.loss.name)  # refuses an unknown one
        static[number] = static_fields(config)
        found.setdefault(group_key(config), []).append(number)
    differing = {
        field
        for field in set().union(*static.values())
        if len({str(fields.get(field)) for fields in static.values()}) > 1
    }
    return [
        Group(
            {f: v for f, v in sorted(static[members[0]].items()) if f in differing},
            tuple(members),
        )
        for members in found.values()
    ]


def static_fields(config: ConfigDict) -> dict[str, Any]:
    """The settings that members of one group have in common."""
    flat = flatten(config.to_dict())
    boundary = "on" if flat["loss.boundary"] else "off"
    # Options of the loss are traced; those that it does not take have no effect.
    options = {f for f in flat if f.startswith("loss.") and f != "loss.name"}
    free = {*TRACED.values(), *HOST, *options, *filter(is_free, flat)}
    if flat["data.sizes"] == AUTO:  # which sizes the start knows decides on the data
        free.discard("init_from")
    static = {field: value for field, value in flat.items() if field not in free}
    return static | {"loss.boundary": boundary}


def group_key(config: ConfigDict) -> str:
    """The same for members of one group, and for no others."""
    return json.dumps(static_fields(config), sort_keys=True, default=str)


def cost(config: ConfigDict) -> Cost:
    """Estimates for a member; traces the network, compiles nothing."""
    settings = json.dumps(config.model.to_dict(), sort_keys=True, default=str)
    parameters, flop, outputs = _traced(settings, config.data.crop)
    batch = config.data.batch_size
    return Cost(
        parameters=parameters,
        flop=3.0 * batch * flop,  # backward: by the input and by the weights
        state_bytes=3 * 4 * parameters,
        step_bytes=int(4 * parameters + _KEPT * 4 * batch * outputs),
    )


def steps(config: ConfigDict) -> int | None:
    """Steps of a member in all its epochs; None where images are read to know it."""
    each = config.train.steps_per_epoch
    if not each and not config.data.dir:
        of = config.data.generated
        images = round(of.count * (1 - config.data.validation_fraction))
        crops = images * math.ceil(of.size**2 / config.data.crop**2)
        each = math.ceil(crops / config.data.batch_size)
    return each * config.train.epochs if each else None


@functools.cache
def device_speed() -> float:
    """Operations a second that training reaches here, from a matrix product."""
    side = 1024 if jax.default_backend() == "cpu" else 8192
    a = jnp.ones((side, side))
    multiply = jax.jit(lambda a: a @ a)
    multiply(a).block_until_ready()
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        multiply(a).block_until_ready()
        seconds.append(time.perf_counter() - begin)
    return _EFFICIENCY * 2 * side**3 / min(seconds)


def memory_of_device() -> int | None:
    """Bytes that this process may use on its first device; None if it cannot tell."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return int(stats["bytes_limit"])
    try:
        with open("/proc/meminfo") as file:
            fields = dict(line.split(":") for line in file)
        return 1024 * int(fields["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return None


def at_once(member: Cost, how: str, count: int, memory: int | None) -> int:
    """How many of `count` members fit into memory together: at least 1.

    Under "loop" one step runs at a time; otherwise all of a program do.
    """
    if memory is None:
        return count
    usable = 0.8 * memory
    if how in ("loop", "auto"):
        fit = (usable - member.step_bytes) // member.state_bytes
    else:
        fit = usable // (member.step_bytes + 2 * member.state_bytes)
    return max(1, min(count, int(fit)))


@functools.cache
def _traced(settings: str, crop: int) -> tuple[int, float, float]:
    """Parameters; operations and output elements of the forward pass of one crop."""
    model = models.build(ConfigDict(json.loads(settings)))
    image = jax.ShapeDtypeStruct((1, crop, crop, 1), jnp.float32)
    # Initialisation runs the forward pass too: one trace tells both.
    traced = jax.make_jaxpr(model.init, return_shape=True)
    forward, variables = traced(jax.random.key(0), image)
    flop, outputs = _count(forward.jaxpr)
    sizes = [leaf.size for leaf in jax.tree.leaves(variables["params"])]
    return sum(sizes), flop, outputs


def _count(jaxpr) -> tuple[float, float]:
    flop = outputs = 0.0
    for equation in jaxpr.eqns:
        out = math.prod(equation.outvars[0].aval.shape) if equation.outvars else 0
        if equation.primitive.name == "conv_general_dilated":
            kernel = equation.invars[1].aval
            features = equation.params["dimension_numbers"].rhs_spec[0]
            flop += 2.0 * out * kernel.size / kernel.shape[features]
            outputs += out
        elif equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            flop += 2.0 * out * math.prod(shape[axis] for axis in contracted)
            outputs += out
        for inner in jaxprs_in_params(equation.params):
            more = _count(inner)
            flop, outputs = flop + more[0], outputs + more[1]
    return flop, outputs
