"""The walk of a lab: from crops of a dilution series and their masks to a count."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from beadseg import cli

ROOT = Path(__file__).parents[1]
SIZE = 192  # px, side of a crop
DILUTIONS = {320: 64, 640: 32, 1280: 16, 2560: 8}  # beads expected in a crop
FRAMES, CROPS = 2, 2


def draw(random: np.random.Generator, beads: int) -> tuple[np.ndarray, np.ndarray]:
    """Dark beads of 7 px on bright, uneven background; u8[H, W, 3] and a mask of discs.

    The discs are not the outlines: their radius is another in each image.
    """
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    image = 0.75 + 0.08 * (x / SIZE) - 0.05 * (y / SIZE)
    marks = np.zeros((SIZE, SIZE), bool)
    radius = random.uniform(2.6, 4.5)
    centres: list[np.ndarray] = []
    while len(centres) < beads:
        at = random.uniform(8, SIZE - 8, 2)
        if all(np.hypot(*(at - other)) > 11 for other in centres):
            centres.append(at)
    depth = np.zeros_like(image)
    for cy, cx in centres:
        far = np.hypot(y - cy, x - cx)
        depth = np.maximum(depth, np.clip(4.0 - far, 0, 1) * random.uniform(0.28, 0.4))
        marks |= far <= radius
    image = image - ndimage.gaussian_filter(depth, 0.7)
    image = image + random.normal(0, 0.008, image.shape)
    pixels = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
    return np.repeat(pixels[..., None], 3, 2), np.where(marks, 255, 0).astype(np.uint8)


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> tuple[Path, dict[str, int]]:
    """A folder as the lab keeps it, and the beads of each image."""
    folder = tmp_path_factory.mktemp("lab") / "series"
    random = np.random.default_rng(11)
    beads = {}
    for dilution, expected in DILUTIONS.items():
        for frame in range(FRAMES):
            for column in range(CROPS):
                name = f"{dilution}x_2025-05-16_00-59-00_{frame:03d}_grid_r3_c{column}"
                beads[name] = int(random.poisson(expected))
    beads |= {f"blank_2025-05-16_{frame:03d}_grid_r3_c0": 0 for frame in range(2)}
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for name, count in beads.items():
        image, mask = draw(random, count)
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
        if count:
            Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
    return folder, beads


def call(*arguments) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return ended.value.code


@pytest.mark.slow
def test_masks_are_looked_at(lab, tmp_path, monkeypatch):
    monkeypatch.setenv("BEADSEG_CACHE", str(tmp_path / "cache"))
    folder, beads = lab
    assert call("analyze", folder, "-o", tmp_path / "analysis") == 0
    found = json.loads((tmp_path / "analysis" / "analysis.json").read_text())
    assert found["overview"]["images"] == len(beads)
    audit = tmp_path / "verify.json"
    assert call("verify", folder, "-o", tmp_path / "verify", "--json", audit) in (0, 1)
    images = [row["image"] for row in json.loads(audit.read_text())["images"]]
    assert set(images) == {name for name, count in beads.items() if count}


@pytest.mark.slow
def test_model_is_fine_tuned_and_used(lab, tmp_path):
    folder, _ = lab
    command = [sys.executable, "-m", "beadseg.main"]
    command += [f"--config={ROOT / 'configs' / 'finetune.py'}"]
    command += [f"--workdir={tmp_path / 'run'}", f"--config.data.dir={folder}"]
    command += [f"--config.data.cache_dir={tmp_path / 'cache'}"]
    command += ["--config.train.epochs=1", "--config.train.steps_per_epoch=2"]
    command += ["--config.data.crop=64", "--config.data.batch_size=4"]
    command += ["--config.log.wandb=off"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "best_jaccard" in json.loads((tmp_path / "run/summary.json").read_text())
    some = sorted((folder / "images").glob("320x_*"))[:2]
    out = tmp_path / "out"
    assert call("predict", *some, "--run", tmp_path / "run", "-o", out) == 0
    assert (out / "images.csv").exists()


@pytest.mark.slow
def test_default_model_gives_a_calibrated_count(lab, tmp_path):
    folder, beads = lab
    out = tmp_path / "out"
    assert call("predict", folder, "-o", out, "--only", "labels") == 0
    assert call("calibrate", out, "--dilution", r"^(\d+)x_", "--area", 0.01) == 0
    result = json.loads((out / "calibration" / "calibration.json").read_text())
    for row in result["dilutions"]:
        true = sum(n for k, n in beads.items() if k.startswith(f"{row['dilution']:g}x"))
        assert row["count"] == pytest.approx(true, rel=0.1)
        assert (row["images"], row["frames"]) == (FRAMES * CROPS, FRAMES)
    low, high = result["line"]["interval"]
    assert low < 1 < high
    assert result["blank"]["level"] == 0 and result["blank"]["units"] == 2
    undiluted = result["line"]["undiluted"]["per_mm2"]["interval"]
    assert undiluted[0] < 320 * DILUTIONS[320] / 0.01 < undiluted[1]


@pytest.mark.slow
def test_real_series_is_calibrated(real_set, tmp_path):
    """Crops of six frames, the thinnest of which is of another day."""
    images = real_set("brightfield_dilution_dev") / "images"
    some = [
        crop
        for dilution in (320, 640, 1280, 2560, 5120, 10240)
        for crop in sorted(images.glob(f"{dilution}x_*"))[:2]
    ]
    out = tmp_path / "out"
    assert call("predict", *some, "-o", out, "--only", "labels") == 0
    assert call("calibrate", out, "--dilution", r"^(\d+)x_") == 0
    result = json.loads((out / "calibration" / "calibration.json").read_text())
    assert [row["frames"] for row in result["dilutions"]] == [1] * 6
    counts = [row["per_field"] for row in result["dilutions"]]
    assert counts == sorted(counts, reverse=True)
    assert result["line"]["slope"] == pytest.approx(1, abs=0.3)
    assert any("parts of 6 frames" in line for line in result["limits"])
    assert any(line.startswith("no blank") for line in result["limits"])
