"""The compiled code of a sweep: for each group of members, on each device.

How members run on a device (`beadseg.sweep.programs`) is chosen once a sweep and kind
of device, and kept in the folder for the other processes.
"""

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
from ml_collections import ConfigDict

from beadseg.data.cache import hash_json
from beadseg.data.masks.sizes import AUTO
from beadseg.sweep import plan, programs
from beadseg.sweep.folder import SweepFolder
from beadseg.training.devices import Programs, Steps, compile_programs
from beadseg.training.run import Run
from beadseg.training.run_data import Data, open_data


class DeviceGroup:
    """The compiled code of a group of members on one device."""

    def __init__(self, compiled: Programs, how: str, width: int):
        """Of `width` members, which run as `how` says."""
        self.compiled = compiled
        self._how, self._width = how, width
        self._together: dict[Steps, programs.Program] = {}

    def steps_of(
        self, due: list[Run], batch: Any
    ) -> Iterator[tuple[Run, Callable[[], None]]]:
        """The members with what makes each take the batch, in turn or all at once."""
        if self._how == "loop":
            yield from ((run, functools.partial(run.train_step, batch)) for run in due)
            return
        for steps in (self.compiled.steps, self.compiled.partial):
            chosen = [run for run in due if run.steps is steps]
            if not chosen:
                continue
            spent, begin = 0.0, time.monotonic()
            program = self._program(steps)
            pairs = program([r.state for r in chosen], [r.hp for r in chosen], batch)
            for run, (state, sums) in zip(chosen, pairs, strict=True):
                spent += time.monotonic() - begin
                yield run, functools.partial(run.after_step, state, sums)
                begin = time.monotonic()
            for run in chosen:
                run.clock.step.seconds += spent / len(chosen)

    def _program(self, steps: Steps) -> programs.Program:
        if steps not in self._together:
            step = steps.train if self._how in programs.OF_COMPILED else steps.pure
            build = programs.OVER_MEMBERS[self._how]
            self._together[steps] = build(step, self._width)
        return self._together[steps]


class DeviceGroups:
    """Data and compiled code of all groups, kept for the next time."""

    def __init__(self, folder: SweepFolder):
        self._folder = folder
        self._data: dict[str, Data] = {}
        self._compiled: dict[str, list[DeviceGroup]] = {}
        self._modes: dict[str, programs.ExecutionMode] = {}

    def data(self, config: ConfigDict) -> Data:
        """What the members of a group learn from."""
        start = config.init_from if config.data.sizes == AUTO else ""
        parts = [start, config.data.to_dict(), config.partial.to_dict()]
        key = hash_json([*parts, config.train.steps_per_epoch])
        if key not in self._data:
            self._data[key] = open_data(config)
        return self._data[key]

    def on_devices(
        self, config: ConfigDict, data: Data, members: int
    ) -> list[DeviceGroup]:
        """Compiled code for each device that is to be used.

        Args:
          members: of the group, that are trained together.
        """
        devices = jax.local_devices()[:members]
        how = self._mode(config, data, members).over_members
        width = 1 if how == "loop" else -(-members // len(devices))
        name = f"{plan.group_key(config)} {how} {len(devices)} {width}"
        if name not in self._compiled:
            self._compiled[name] = [
                DeviceGroup(compile_programs(config, data, [d]), how, width)
                for d in devices
            ]
        return self._compiled[name]

    def _mode(
        self, config: ConfigDict, data: Data, members: int
    ) -> programs.ExecutionMode:
        how = config.sweep.over_members
        if how != "auto":
            return programs.ExecutionMode(how, "as config.sweep.over_members says", {})
        kind = jax.devices()[0].device_kind.replace(" ", "-").replace("/", "-")
        # The settings on which the speed of a step depends.
        speed = [config.model.to_dict(), config.data.batch_size, config.data.crop]
        name = f"{hash_json(speed)[:8]}-{kind}"
        if name not in self._modes:
            before = self._folder.read_mode(name)
            if before is None:
                steps = data.epoch_steps * config.train.epochs * members
                seconds = steps * plan.cost(config).flop / plan.device_speed()
                chosen = programs.choose(config, members, seconds)
                self._folder.write_mode(name, chosen._asdict())
            else:
                chosen = programs.ExecutionMode(**before)
            self._modes[name] = chosen
            print(f"members run as {chosen.over_members}: {chosen.why}")
        return self._modes[name]
