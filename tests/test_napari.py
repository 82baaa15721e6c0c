"""The plugin for napari: its manifest, and `napari_plugin.py` with the real napari."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_manifest_is_valid_and_found(tmp_path):
    npe2 = pytest.importorskip("npe2")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ((name, where),) = project["entry-points"]["napari.manifest"].items()
    module, file = where.split(":")
    path = Path(importlib.util.find_spec(module).origin).with_name(file)
    manifest = npe2.PluginManifest.from_file(path)
    assert manifest.name == name == project["name"]
    for command in manifest.contributions.commands:
        module, function = command.python_name.split(":")
        source = Path(importlib.util.find_spec(module).origin).read_text()
        assert f"def {function}(" in source


@pytest.mark.slow
@pytest.mark.skipif(
    not importlib.util.find_spec("napari"), reason="napari is not installed"
)
def test_the_plugin_works_in_napari(tmp_path):
    screen = []
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        if not shutil.which("xvfb-run"):
            pytest.skip("there is no screen: xvfb is not installed")
        screen = ["xvfb-run", "-a"]
    command = [*screen, sys.executable, "-m", "pytest", "-q", "-x", "-Wignore"]
    command += ["-p", "no:cacheprovider", str(ROOT / "tests" / "napari_plugin.py")]
    environment = os.environ | {"NAPARI_CONFIG": str(tmp_path / "napari.yaml")}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert ran.returncode == 0, ran.stdout.decode() + ran.stderr.decode()
