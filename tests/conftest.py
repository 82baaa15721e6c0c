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
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as commands have it
# Workers and the commands that tests start compile the same programs: once is enough.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", f"{tempfile.gettempdir()}/beadseg-tests-{os.getuid()}"
)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"

import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import tifffile  # noqa: E402
from ml_collections import ConfigDict  # noqa: E402

from tests import real_data  # noqa: E402
from tests.tiny import tiny_config, tiny_fields  # noqa: E402

ROOT = Path(__file__).parents[1]


def pytest_xdist_auto_num_workers(config) -> int:
    """One more than cores: many tests wait for a scheduler, a signal or a browser."""
    return len(os.sched_getaffinity(0)) + 1


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
    """Builds the command line of a tiny run, with the `FIELDS` of the module."""

    def build(workdir: Path, config: str = "dice.py", **fields) -> list[str]:
        flags = tiny_fields(**request.module.FIELDS | fields)
        return [
            *(sys.executable, "-m", "beadseg.main"),
            f"--config={ROOT / 'configs' / config}",
            f"--workdir={workdir}",
            f"--config.data.cache_dir={tmp_path / 'cache'}",
            *(f"--config.{name}={value}" for name, value in flags.items()),
        ]

    return build


@pytest.fixture
def tiny() -> ConfigDict:
    """A config with a small network and few small images."""
    return tiny_config()


@pytest.fixture
def batch() -> dict[str, np.ndarray]:
    """Four images of bright discs, 32x32, with a strip of unknown pixels."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    mask = np.zeros((4, 32, 32, 1), np.float32)
    for image in mask:
        for _ in range(3):
            cy, cx, r = rng.uniform(4, 28), rng.uniform(4, 28), rng.uniform(3, 7)
            image[(y - cy) ** 2 + (x - cx) ** 2 < r**2] = 1
    noise = rng.normal(0, 0.1, mask.shape).astype(np.float32)
    weight = np.ones_like(mask)
    weight[:, :4] = 0
    return {"image": 0.7 * mask + noise, "mask": mask, "weight": weight}


@pytest.fixture(scope="session")
def bright_run(tmp_path_factory) -> Path:
    """A run whose network is known in closed form: what is bright is bead."""
    from tests.inference.bright import write_run

    return write_run(tmp_path_factory.mktemp("runs") / "bright")


@pytest.fixture(scope="session")
def beads_folder(tmp_path_factory) -> Path:
    """Eight generated images with complete masks."""
    from beadseg.data.generated.write import write_generated

    folder = tmp_path_factory.mktemp("data") / "beads"
    write_generated(
        folder, count=8, size=160, seed=3, preset="beads", damage="none", amount=0.0
    )
    return folder


@pytest.fixture
def write(tmp_path):
    """Writes arrays as images (and masks) of a new data set."""

    def of(images: dict[str, np.ndarray], masks: dict[str, np.ndarray] | None = None):
        for kind, arrays in (("images", images), ("masks", masks or {})):
            for name, array in arrays.items():
                file = tmp_path / "data" / kind / f"{name}.tif"
                file.parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(file, array)
        return tmp_path / "data"

    return of
