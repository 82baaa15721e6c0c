"""Shared by the tests of inference."""

from pathlib import Path

import pytest
from bright import write_run


@pytest.fixture(scope="session")
def bright_run(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "bright")
