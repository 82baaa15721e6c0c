"""Fine-tuning on beads whose sizes differ, from the folder to a new image."""

import json

import numpy as np
import pytest
import tifffile

import beadseg
from beadseg.analysis.diagnosis.run_evidence import examine_run
from beadseg.training.loop import train
from configs import finetune

SMALL, LARGE = 10, 80  # px across


def field(diameters, side=320, seed=0):
    """Bright discs of these sizes, a row of each in turn, u8; and their labels."""
    labels, (y, x) = np.zeros((side, side), np.int32), np.mgrid[:side, :side]
    top = 0.0
    while top + 1.3 * diameters[0] <= side:
        step = 1.3 * diameters[0]
        for left in np.arange(0, side - step, step):
            at = (y - top - step / 2) ** 2 + (x - left - step / 2) ** 2
            labels[at <= (diameters[0] / 2) ** 2] = labels.max() + 1
        top, diameters = top + step, diameters[1:] + diameters[:1]
    noise = np.random.default_rng(seed).normal(0, 6, labels.shape)
    return (np.where(labels > 0, 170, 60) + noise).astype(np.uint8), labels


@pytest.fixture
def config(tmp_path):
    for number, size in enumerate([SMALL, SMALL, LARGE, LARGE]):
        for kind, array in zip(("images", "masks"), field([size]), strict=True):
            (tmp_path / "data" / kind).mkdir(parents=True, exist_ok=True)
            file = tmp_path / "data" / kind / f"{number}.tif"
            tifffile.imwrite(file, array.astype(np.uint16))
    config = finetune.get_config()
    config.data.dir, config.data.cache_dir = str(tmp_path / "data"), str(tmp_path / "c")
    config.data.batch_size, config.data.generated.count = 2, 4
    config.train.epochs, config.train.steps_per_epoch = 1, 2
    config.partial.method, config.log.wandb, config.log.images_every = "none", "off", 0
    return config


@pytest.mark.slow
def test_a_run_on_two_sizes_finds_both_in_a_new_image(config, tmp_path, capsys):
    train(config, tmp_path / "run", "run")
    said = capsys.readouterr().out
    assert "beads differ in size, most are 10.1 to 80 px across: each image" in said
    dataset = json.loads((tmp_path / "run" / "dataset.json").read_text())
    assert dataset["sizes"] == list(config.data.generated.sizes)
    run = beadseg.load(tmp_path / "run")
    assert run.runs[0].sizes == tuple(dataset["sizes"])
    image, labels = field([LARGE, SMALL, SMALL], seed=1)
    found = run.predict(image)
    true = np.unique(labels)[1:]
    diameters = 2 * np.sqrt(np.bincount(labels.ravel())[1:] / np.pi)
    assert {SMALL, LARGE} == set(diameters.round(-1).astype(int).tolist())
    assert found.image["count"] == len(true)
    for bead in true:
        inside = labels == bead
        (same,) = np.unique(found.labels[inside & (found.labels > 0)])
        both = (inside & (found.labels == same)).sum()
        assert both > 0.5 * (inside | (found.labels == same)).sum()
    looked = examine_run(tmp_path / "run")
    assert not looked.notes
    assert {seen.image.shape for seen in looked.images} == {labels.shape}
    for seen in looked.images:  # all beads of an image, and no other
        assert len(np.unique(seen.predicted)) == len(np.unique(seen.labels))
    evidence = looked.evidence
    assert evidence.total("true_positive") == evidence.total("truth")
    assert evidence.total("false_positive") == 0
