"""Runs the pure steps on all local devices: `jit` over a mesh, or `pmap`.

Both take host batches of the whole run and give back a state without a device axis,
so that the loop, the checkpoints and the tests do not know which one is in use.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from beadseg.errors import BeadsegError
from beadseg.training.step import make_eval_step, make_train_step

AXIS = "batch"


class Steps(NamedTuple):
    """Compiled steps over host batches (dicts of numpy arrays [B,H,W,1], f32)."""

    train: Callable
    evaluate: Callable
    place: Callable  # a state or hyperparameters from the host onto the devices
    feed: Callable  # a host batch onto the devices: runs that share it copy it once


def compile_steps(
    model, config: ConfigDict, total_steps: int, devices: list[jax.Device] | None = None
) -> Steps:
    """Compiles the steps for the devices as `config.train.parallel` says.

    Raises:
      BeadsegError: an unknown kind, or a batch that the devices cannot share evenly.
    """
    devices = devices or jax.local_devices()
    how = config.train.parallel
    if how not in PARALLEL:
        raise BeadsegError(
            f"config.train.parallel = {how!r} is unknown: use one of {list(PARALLEL)}"
        )
    if config.data.batch_size % len(devices):
        raise BeadsegError(
            f"config.data.batch_size = {config.data.batch_size} cannot be shared by "
            f"{len(devices)} devices: use a multiple of {len(devices)}"
        )
    return PARALLEL[how](model, config, total_steps, devices)


def _jit(model, config, total_steps, devices) -> Steps:
    mesh = Mesh(np.array(devices), (AXIS,))
    spread = NamedSharding(mesh, PartitionSpec(AXIS))
    whole = NamedSharding(mesh, PartitionSpec())

    def on_devices(batch):
        def move(x):
            if isinstance(x, jax.Array):
                return x
            return jax.make_array_from_process_local_data(spread, x)

        return jax.tree.map(move, batch)

    train = jax.jit(
        make_train_step(model, config, total_steps),
        in_shardings=(whole, whole, spread),
        out_shardings=(whole, whole),
        donate_argnums=0,
    )
    evaluate = jax.jit(
        make_eval_step(model, config),
        in_shardings=(whole, whole, spread),
        out_shardings=spread,
    )
    return Steps(
        train=lambda state, hp, batch: train(state, hp, on_devices(batch)),
        evaluate=lambda state, hp, batch: evaluate(state, hp, on_devices(batch)),
        place=lambda tree: jax.device_put(tree, whole),
        feed=on_devices,
    )


def _pmap(model, config, total_steps, devices) -> Steps:
    shares = len(devices)

    def shared(batch):
        return {
            name: x.reshape(shares, x.shape[0] // shares, *x.shape[1:])
            for name, x in batch.items()
        }

    train = jax.pmap(
        make_train_step(model, config, total_steps, axis_name=AXIS),
        axis_name=AXIS,
        in_axes=(None, None, 0),
        out_axes=(None, None),
        devices=devices,
    )
    evaluate = jax.pmap(
        make_eval_step(model, config),
        axis_name=AXIS,
        in_axes=(None, None, 0),
        devices=devices,
    )

    def evaluate_whole(state, hp, batch):
        out = evaluate(state, hp, shared(batch))
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), out)

    return Steps(
        train=lambda state, hp, batch: train(state, hp, shared(batch)),
        evaluate=evaluate_whole,
        place=lambda tree: jax.device_put(tree, devices[0]),
        feed=lambda batch: batch,
    )


PARALLEL = {"jit": _jit, "pmap": _pmap}
