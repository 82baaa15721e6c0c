"""Several processes, one a node, that train one model together.

srun, mpiexec or a person starts the same command in each, with --processes. Each draws
its rows of every batch, and all take the same steps in the same order, so that none
waits for what another does not do. What has to be decided, the first decides for all
(`broadcast_from_primary`). It alone prints and writes the run folder; its checkpoints
orbax writes from all of them.
"""

import json
import logging
import os
import re
import signal
import socket
import sys
import threading
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from beadseg.errors import BeadsegError, reason

T = TypeVar("T")

# Rank and number of processes, in the variables of what starts them.
LAUNCHERS = {
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    "MPI": ("PMI_RANK", "PMI_SIZE"),
    "srun": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
}
WAIT = 300  # s until all processes must be there
_PORTS = range(61440, 65536)  # above those that Linux gives to connections
_PIECE = 4096  # bytes: multiples are sent, as each size is compiled once
# In what XLA says, as one of several kinds of error, when another process is gone.
_GONE = re.compile(r"gloo|nccl|coordination|heartbeat|peer", re.IGNORECASE)


class Place(NamedTuple):
    """Where this process stands among those that train one model."""

    process: int  # from 0
    processes: int
    coordinator: str  # HOST:PORT where process 0 is reached


class SharedError(BeadsegError):
    """An error that every process raises: one of the first, or seen by each."""

    everywhere = True


def place(
    processes: int,
    process: int | None,
    coordinator: str | None,
    environment: Mapping[str, str],
) -> Place:
    """Where this process stands, by its flags, else by the variables of its launcher.

    Raises:
      BeadsegError: they do not say enough, or contradict each other.
    """
    flag = f"--processes={processes}"
    if process is None:
        process = _started_as(processes, environment)
    if not 0 <= process < processes:
        raise BeadsegError(f"--process={process}: {flag} go from 0 to {processes - 1}")
    coordinator = coordinator or _coordinator(environment)
    if coordinator is None:
        raise BeadsegError(
            f"{flag}: give --coordinator=HOST:PORT, a free port of the machine of "
            "process 0"
        )
    if not re.fullmatch(r".+:\d+", coordinator):
        raise BeadsegError(f"--coordinator={coordinator}: give HOST:PORT")
    return Place(process, processes, coordinator)


def _started_as(processes: int, environment: Mapping[str, str]) -> int:
    for name, (rank, size) in LAUNCHERS.items():
        if rank in environment and size in environment:
            if int(environment[size]) != processes:
                raise BeadsegError(
                    f"--processes={processes}, but {name} has started "
                    f"{environment[size]}: give both the same number"
                )
            return int(environment[rank])
    raise BeadsegError(
        f"--processes={processes}: start all with srun or mpiexec, or each with "
        f"--process=0 to {processes - 1} and --coordinator=HOST:PORT"
    )


def _coordinator(environment: Mapping[str, str]) -> str | None:
    """Of srun: the first node, and a port that other steps hardly take."""
    nodes = environment.get("SLURM_STEP_NODELIST")
    if nodes is None:
        return None
    # "node3", "node3,node7", "node[03-05,09],other"
    name, number = re.match(r"([^,\[]+)(?:\[([^,\-\]]+))?", nodes).groups()
    step = f"{environment['SLURM_JOB_ID']}.{environment['SLURM_STEP_ID']}"
    return f"{name}{number or ''}:{_PORTS[zlib.crc32(step.encode()) % len(_PORTS)]}"


@contextmanager
def distributed_session(place: Place | None) -> Iterator[None]:
    """Trains within it as one of several processes; None: as the only one.

    All leave it together. An error that the others cannot know of ends this process
    at once, and that ends them.

    Raises:
      BeadsegError: the others do not come, or have other devices.
    """
    if place is None:
        yield
        return
    _connect(place)
    try:
        _check_devices()
        broadcast_from_primary(lambda: None)  # connects the devices while none is busy
        yield
    except BaseException as error:
        abort(error)
        jax.distributed.shutdown()
        if not is_primary():
            sys.exit(_exit_code(error))
        raise
    jax.distributed.shutdown()


def _connect(place: Place) -> None:
    if not place.process:
        _check_port(place.coordinator)
    else:  # print, and what gloo prints from C++
        sys.stdout.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # jax connects through a proxy where there is one, and warns of it.
    os.environ["no_grpc_proxy"] = place.coordinator.rpartition(":")[0]
    logging.getLogger("jax._src.distributed").setLevel(logging.ERROR)
    patience = threading.Timer(WAIT, _give_up, (place,))
    patience.daemon = True
    patience.start()
    jax.distributed.initialize(
        place.coordinator,
        place.processes,
        place.process,
        cluster_detection_method="deactivate",  # it would hide all GPUs but one
        initialization_timeout=2 * WAIT,  # it ends in a page of C++
    )
    patience.cancel()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # jax has taken it to note it only


def _check_port(coordinator: str) -> None:
    """Raises BeadsegError where jax would crash."""
    try:
        socket.create_server(("", int(coordinator.rpartition(":")[2]))).close()
    except (OSError, OverflowError) as error:
        raise BeadsegError(
            f"process 0 cannot listen at {coordinator} ({error}): give all another "
            "--coordinator=HOST:PORT, of the machine of process 0"
        ) from error


def _give_up(place: Place) -> None:
    print(
        f"error: process {place.process} of {place.processes} has not met the others "
        f"at {place.coordinator} within {WAIT} s: have all been started, and do they "
        "reach that port?",
        file=sys.stderr,
        flush=True,
    )
    os._exit(BeadsegError.exit_code)


def _check_devices() -> None:
    found = Counter(device.process_index for device in jax.devices())
    if len(set(found.values())) > 1:
        counts = ", ".join(f"{n} in process {i}" for i, n in sorted(found.items()))
        raise SharedError(f"devices: {counts}: give all processes the same number")


def is_primary() -> bool:
    """Whether this process is the first: it prints and writes."""
    return jax.process_index() == 0


def broadcast_from_primary(make: Callable[[], Any]) -> Any:
    """What `make` returns in the first process; only there it is called.

    Returns:
      In all processes the same; of several, it must be such as JSON can hold.

    Raises:
      BeadsegError: in all processes, where `make` has raised it.
    """
    if jax.process_count() == 1:
        return make()
    answer = {}
    if is_primary():
        try:
            answer = {"value": make()}
        except BeadsegError as error:
            answer = {"error": str(error)}
    answer = json.loads(_of_first(json.dumps(answer).encode()))
    if "error" in answer:
        raise SharedError(answer["error"])
    return answer["value"]


def primary_first(make: Callable[[], T]) -> T:
    """Calls `make` in the first process, and when it is done in the others."""
    first: list[T] = []
    broadcast_from_primary(lambda: first.append(make()))
    return first[0] if first else make()


def check_alike(name: str, value: Any, advice: str) -> None:
    """Raises BeadsegError where `value` is not what it is in the first process."""
    first = broadcast_from_primary(lambda: value)
    if first != value:
        raise BeadsegError(f"{name} is {value!r}, but {first!r} in process 0: {advice}")


class Stop:
    """Tells all processes, at the same step, that one of them was told to stop."""

    def __init__(self) -> None:
        self._asked: jax.Array | None = None
        if jax.process_count() > 1:
            mesh = Mesh(np.array(jax.devices()), ("device",))
            self._spread = NamedSharding(mesh, PartitionSpec("device"))
            whole = NamedSharding(mesh, PartitionSpec())
            self._largest = jax.jit(lambda x: x.max(), out_shardings=whole)

    def __call__(self, received: int | None) -> signal.Signals | None:
        """The signal to stop for, after a step.

        Args:
          received: what this process has received, if it has.

        Returns:
          Of several processes, what any of them had received a step earlier: it is
          asked for while the next step runs, so that no step waits for the answer.
        """
        if jax.process_count() == 1:
            return signal.Signals(received) if received else None
        mine = np.full(jax.local_device_count(), received or 0, np.int32)
        asked = jax.make_array_from_process_local_data(self._spread, mine)
        before, self._asked = self._asked, self._largest(asked)
        found = 0 if before is None else int(before)
        return signal.Signals(found) if found else None


def abort(error: BaseException) -> None:
    """Ends this process at once if others know nothing of `error`; else does nothing.

    They are in the middle of a step, and notice that it is gone. Whatever it closed
    in order, it would wait for them.
    """
    if jax.process_count() == 1 or getattr(error, "everywhere", False):
        return
    who = f"process {jax.process_index()} of {jax.process_count()}"
    if isinstance(error, BeadsegError):
        print(f"error: {who}: {error}", file=sys.stderr)
    elif isinstance(error, Exception) and _GONE.search(str(error)):
        print(
            f"error: {who}: another has ended, and says why where it prints "
            f"({reason(error)}): the same command continues from the last "
            "checkpoint",
            file=sys.stderr,
        )
    elif not isinstance(error, (KeyboardInterrupt, SystemExit)):
        traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_exit_code(error))


def _exit_code(error: BaseException) -> int:
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    if isinstance(error, KeyboardInterrupt):
        return 130
    return getattr(error, "exit_code", 1)


def _of_first(content: bytes) -> bytes:
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(content))))
    padded = np.zeros(-(-size // _PIECE) * _PIECE, np.uint8)
    if is_primary():
        padded[:size] = np.frombuffer(content, np.uint8)
    return multihost_utils.broadcast_one_to_all(padded)[:size].tobytes()
