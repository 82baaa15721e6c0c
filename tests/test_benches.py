"""Benchmarks are run by hand and long after: what they import must still be there."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BENCHES = sorted((HERE / "bench").rglob("*.py"))
OURS = {"beadseg", "tests", "configs"}


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """Each name of ours that a file imports, and its module."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in OURS:
            yield from ((node.module, alias.name) for alias in node.names)


def is_there(module: str, name: str) -> bool:
    try:
        if hasattr(importlib.import_module(module), name):
            return True
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError as error:
        if error.name.split(".")[0] not in OURS:
            pytest.skip(f"{error.name} is not installed")
        return False
    return True


@pytest.mark.parametrize("file", BENCHES, ids=lambda f: f.stem)
def test_what_a_benchmark_imports_is_there(file):
    assert [pair for pair in imports(file) if not is_there(*pair)] == []
