"""How XLA compiles: flags measured to be faster, and programs kept between runs.

Set in the environment when beadseg is imported, before jax reads it; what the user has
set there stays as it is.
"""

import contextlib
import functools
import hashlib
import os
import platform
import tempfile
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

# XLA gives convolutions and products to YNNPACK, whose gradient of a kernel is up to
# ten times slower than that of Eigen (tests/bench/results/weight_gradient.json).
FLAGS = {"--xla_cpu_experimental_ynn_fusion_type": ""}
# On a CPU, XLA takes away the barriers with which beadseg.models keeps what several
# operations need from being worked out anew for each; a GPU may need them taken away.
CPU_FLAGS = {"--xla_disable_hlo_passes": "cse_barrier_expander"}
ACCELERATORS = ("jax_plugins", "libtpu")  # give jax other devices than the CPU
# An unknown flag ends the process: these are the versions that were seen to know them.
KNOWING_JAXLIB = ((0, 10), (0, 12))


def cache_root() -> Path:
    """What is kept between runs: $BEADSEG_CACHE, or ~/.cache/beadseg.

    A user without a home, as in many containers, has it in the folder for temporary
    files, under the number of the user.
    """
    named = Path(os.environ.get("BEADSEG_CACHE") or "~/.cache/beadseg")
    try:
        return named.expanduser()
    except RuntimeError:
        return _homeless()


@functools.cache
def _homeless() -> Path:
    """A folder that only this user writes: programs are run from it."""
    folder = Path(tempfile.gettempdir()) / f"beadseg-{os.getuid()}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if found.st_uid == os.getuid() and found.st_mode & 0o077 == 0:
            return folder
    return Path(tempfile.mkdtemp(prefix="beadseg-"))


def prepare() -> None:
    """Sets $XLA_FLAGS and jax's folder of compiled programs, where they are not set.

    $JAX_ENABLE_COMPILATION_CACHE=false keeps no programs.
    """
    _set_flags()
    folder = cache_root() / f"xla-{_processor()}"
    if _writable(folder):
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")


def _set_flags() -> None:
    try:
        jaxlib = tuple(int(part) for part in version("jaxlib").split(".")[:2])
    except (PackageNotFoundError, ValueError):
        return
    if not KNOWING_JAXLIB[0] <= jaxlib <= KNOWING_JAXLIB[1]:
        return
    chosen = os.environ.get("XLA_FLAGS", "")
    flags = FLAGS if accelerated() else FLAGS | CPU_FLAGS
    ours = [f"{name}={value}" for name, value in flags.items() if name not in chosen]
    os.environ["XLA_FLAGS"] = " ".join([*ours, chosen]).strip()


def accelerated() -> bool:
    """Whether jax may find another device than the CPU."""
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return False
    return any(find_spec(package) is not None for package in ACCELERATORS)


def _processor() -> str:
    """Tells apart processors that may not run each other's programs."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    kinds = ("flags", "Features", "model name")
    facts = sorted({line for line in lines if line.startswith(kinds)})
    text = "\n".join([platform.machine(), platform.processor(), *facts])
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _writable(folder: Path) -> bool:
    try:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    except (OSError, ValueError, StopIteration):  # no such name can be
        return False
