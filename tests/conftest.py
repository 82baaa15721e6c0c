"""Strictness for every test: dtypes, ranks, two devices, warnings as errors."""

import os
import tempfile

os.environ["JAX_NUM_CPU_DEVICES"] = "2"  # before jax starts its backend
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
os.environ["MPLBACKEND"] = "agg"
# Workers and the commands that tests start compile the same programs: once is enough.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", f"{tempfile.gettempdir()}/beadseg-tests-{os.getuid()}"
)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"

import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

from tests import real_data  # noqa: E402

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_set() -> Callable[[str], Path]:
    """Finds a set of real images by name; skips where the machine lacks it."""

    def find(name: str) -> Path:
        try:
            return real_data.real_set(name)
        except FileNotFoundError as error:
            pytest.skip(str(error))

    return find


@pytest.fixture
def command(request, tmp_path) -> Callable[..., list[str]]:
    """Builds the command line of a tiny run: with the fields `TINY` of the module."""

    def build(workdir: Path, config: str = "dice.py", **fields) -> list[str]:
        flags = request.module.TINY | {
            name.replace("__", "."): value for name, value in fields.items()
        }
        return [
            *(sys.executable, "-m", "beadseg.main"),
            f"--config={ROOT / 'configs' / config}",
            f"--workdir={workdir}",
            f"--config.data.cache_dir={tmp_path / 'cache'}",
            *(f"--config.{name}={value}" for name, value in flags.items()),
        ]

    return build
