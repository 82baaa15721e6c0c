"""Habits of libraries, put right before they are loaded."""

import os
import subprocess
import sys

import pytest

from beadseg.libraries import ONE_CORE

LOADS = """
import importlib, os, sys
found = []
def hook(event, given):
    if event == "import" and given[0] == "numpy":
        found.append(os.environ.get("{name}"))
sys.addaudithook(hook)
importlib.import_module("{module}")
import numpy
print(found[0])
"""


def when_numpy_is_loaded(module: str, chosen: str | None) -> str:
    """The setting of OpenBLAS then, in a process that imports a module."""
    others = {name: value for name, value in os.environ.items() if name != ONE_CORE}
    found = subprocess.run(
        [sys.executable, "-c", LOADS.format(name=ONE_CORE, module=module)],
        env=others | ({} if chosen is None else {ONE_CORE: chosen}),
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.strip()


@pytest.mark.parametrize("module", ["beadseg.cli", "beadseg.main"])
@pytest.mark.parametrize("chosen, wanted", [(None, "1"), ("3", "3")])
def test_commands_multiply_on_one_core_unless_told(module, chosen, wanted):
    assert when_numpy_is_loaded(module, chosen) == wanted


def test_the_library_leaves_products_to_its_user():
    assert when_numpy_is_loaded("beadseg", None) == "None"
