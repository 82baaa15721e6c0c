"""What is to be run on a GPU, in small on whatever is here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import gpu

ROOT = Path(__file__).parents[2]


def call(out, *flags):
    command = [sys.executable, "-m", "tests.bench.gpu", "--small", f"--out={out}"]
    # What runs and what is kept of it is the same, and is compiled in half the time.
    quickly = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "true"}
    return subprocess.run(
        [*command, *flags], capture_output=True, text=True, cwd=ROOT, env=quickly
    )


def found(out):
    return json.loads((out / "gpu.json").read_text())


def test_when_the_time_is_over_it_says_so(tmp_path):
    done = call(tmp_path, "--only", "members", "--minutes", "0")
    assert done.returncode == 1
    assert "the time is over in members" in done.stderr


def test_a_case_that_never_ends_is_left_out_in_the_end(tmp_path):
    names = [f"{k} by {how}" for k in (1, 2) for how in ("loop", "vmap", "unroll")]
    tried = dict.fromkeys(names, gpu.TRIES)
    kept = {"small": True, "device": "", "cases": {}, "tried": {"members": tried}}
    (tmp_path / "gpu.json").write_text(json.dumps(kept))
    done = call(tmp_path, "--only", "members")
    assert done.returncode == 0, done.stderr
    assert found(tmp_path)["cases"]["members"] == {}


def test_the_roofline_is_what_the_device_reaches():
    operations, bandwidth = gpu.ceiling(256)
    assert 1e6 < operations < 1e16 and 1e6 < bandwidth < 1e14


@pytest.mark.slow
def test_all_of_it_runs_in_small_and_what_is_measured_is_kept(tmp_path):
    done = call(tmp_path, "--minutes", "30")
    assert done.returncode == 0, done.stderr
    parts = found(tmp_path)["cases"]
    assert list(parts) == list(gpu.PARTS)
    for part, cases in parts.items():
        for name, case in cases.items():
            assert "error" not in case, (part, name, case)
    assert parts["smoke"]["resumed"]["largest_difference_of_loss"] == 0
    assert parts["smoke"]["resumed"]["of_pmap"] < 0.01
    assert 0 < parts["step"]["unet, 32 px"]["share_of_roofline"] < 1.5
    assert all("best_jaccard" in case for case in parts["long"].values())
    (case,) = parts["predict"].values()
    assert case["megapixels_per_second"] > 0 and case["peak_megabytes"] > 100
    assert case["share_of_input_and_output"] < 1
    assert (tmp_path / "gpu.png").read_bytes().startswith(b"\x89PNG")
    again = call(tmp_path, "--only", "predict")
    assert again.returncode == 0 and "megapixels" not in again.stdout
    assert found(tmp_path)["cases"]["predict"] == {"2 images of 512 px": case}
    assert found(tmp_path)["tried"]["predict"] == {"2 images of 512 px": 1}
