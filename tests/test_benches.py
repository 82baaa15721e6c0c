"""Benchmarks are run by hand and long after: what they import must still be there."""

import ast
import importlib
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BENCHES = sorted((HERE / "bench").rglob("*.py"))
OURS = {"beadseg", "tests", "configs"}


@pytest.mark.parametrize("file", BENCHES, ids=lambda f: f.stem)
def test_what_a_benchmark_imports_is_there(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.ImportFrom) or node.level:
            continue
        if node.module.split(".")[0] not in OURS:
            continue
        try:
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
        except ModuleNotFoundError as error:
            if error.name.split(".")[0] in OURS:
                raise
            pytest.skip(f"{error.name} is not installed")
