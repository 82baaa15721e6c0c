"""Runs the pure steps on all devices: `jit` over a mesh, or `pmap`.

Both take host batches and give back a state without a device axis, so that the loop,
the checkpoints and the tests do not know which one is in use. The mesh of `jit` may
span several processes, each of which has its rows of a batch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from beadseg import models
from beadseg.errors import BeadsegError
from beadseg.training.run_data import Data
from beadseg.training.state import create_state
from beadseg.training.step import make_eval_step, make_train_step

AXIS = "batch"


class Steps(NamedTuple):
    """Compiled steps over host batches (dicts of numpy arrays [B,H,W,1], f32)."""

    train: Callable  # of a batch, the rows of this process
    evaluate: Callable  # the whole batch, and the whole outcome, in each process
    place: Callable  # a state or hyperparameters from the host onto the devices
    feed: Callable  # a host batch onto the devices: runs that share it copy it once
    rows: range  # of a training batch, those of this process
    pure: Callable  # the training step of one device, to be compiled with others


class Programs(NamedTuple):
    """Compiled code that serves every run with the same static settings."""

    create: Any  # hyperparameters -> a fresh state
    steps: Steps
    partial: Steps | None  # the same with the loss for partial labels


def compile_programs(
    config: ConfigDict, data: Data, devices: list[jax.Device] | None = None
) -> Programs:
    """Builds network and steps; each is compiled once, at its first use."""
    model = models.build(config.model)
    total_steps = data.epoch_steps * config.train.epochs
    steps, partial = compile_steps(model, config, total_steps, devices), None
    if data.labels.method is not None:
        other = config.copy_and_resolve_references()
        other.loss.name = data.labels.method
        partial = compile_steps(model, other, total_steps, devices)
    return Programs(jax.jit(lambda hp: create_state(model, config, hp)), steps, partial)


def compile_steps(
    model, config: ConfigDict, total_steps: int, devices: list[jax.Device] | None = None
) -> Steps:
    """Compiles the steps for the devices as `config.train.parallel` says.

    Raises:
      BeadsegError: an unknown kind, or a batch that the devices cannot share evenly.
    """
    devices = devices or jax.devices()
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
    processes = sorted({device.process_index for device in devices})
    several = len(processes) > 1
    devices = sorted(devices, key=lambda device: device.process_index)
    mesh = Mesh(np.array(devices), (AXIS,))
    spread = NamedSharding(mesh, PartitionSpec(AXIS))
    whole = NamedSharding(mesh, PartitionSpec())
    share = config.data.batch_size // len(processes)
    first = share * processes.index(jax.process_index())

    def feed(batch):
        def move(x):
            if isinstance(x, jax.Array):
                return x
            return jax.make_array_from_process_local_data(spread, x)

        return jax.tree.map(move, batch)

    def from_whole(batch):
        if not several:
            return feed(batch)
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(spread, x, x.shape), batch
        )

    def place(tree):
        if not several:
            return jax.device_put(tree, whole)
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(
                whole, np.asarray(x), np.shape(x)
            ),
            tree,
        )

    step = make_train_step(model, config, total_steps)
    train = jax.jit(
        step,
        in_shardings=(whole, whole, spread),
        out_shardings=(whole, whole),
        donate_argnums=0,
    )
    evaluate = jax.jit(
        make_eval_step(model, config),
        in_shardings=(whole, whole, spread),
        out_shardings=whole if several else spread,
    )
    return Steps(
        train=lambda state, hp, batch: train(state, hp, feed(batch)),
        evaluate=lambda state, hp, batch: evaluate(state, hp, from_whole(batch)),
        place=place,
        feed=feed,
        rows=range(first, first + share),
        pure=step,
    )


def _pmap(model, config, total_steps, devices) -> Steps:
    if any(device.process_index != jax.process_index() for device in devices):
        raise BeadsegError(
            "config.train.parallel = 'pmap' is for one process: use 'jit' for several"
        )
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
        rows=range(config.data.batch_size),
        pure=make_train_step(model, config, total_steps),
    )


PARALLEL = {"jit": _jit, "pmap": _pmap}
