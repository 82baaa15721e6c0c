"""Images that a run was trained on: by content, else by name."""

import json
import shutil

import numpy as np
import pytest
import tifffile

from beadseg.errors import BeadsegError
from beadseg.inference.scores.trained_on import is_trained_on, runs_of, trained_on


def write_images(folder, *names, seed=0):
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    for name in names:
        image = rng.integers(0, 255, (16, 16), np.uint8)
        tifffile.imwrite(folder / "images" / f"{name}.tif", image)
    return folder


def write_run(run, data, train, **config):
    run.mkdir()
    config = {"data": {"dir": str(data)}, "init_from": "", "partial": {}} | config
    (run / "config.json").write_text(json.dumps(config))
    split = {"train": [f"{name}@0,0" for name in train], "validation": []}
    (run / "split.json").write_text(json.dumps(split))
    return run


def test_an_image_is_known_by_its_content_whatever_its_name(tmp_path):
    data = write_images(tmp_path / "data", "a", "b", "c")
    run = write_run(tmp_path / "run", data, ["a", "b"])
    copy = tmp_path / "copy.tif"
    shutil.copyfile(data / "images" / "a.tif", copy)
    known = trained_on([run])
    assert is_trained_on("copy", copy, known)
    assert is_trained_on("a", data / "images" / "a.tif", known)
    assert not is_trained_on("c", data / "images" / "c.tif", known)


def test_another_image_of_the_same_name_was_not_trained_on(tmp_path):
    data = write_images(tmp_path / "data", "a", "b")
    other = write_images(tmp_path / "other", "a", seed=1)
    known = trained_on([write_run(tmp_path / "run", data, ["a", "b"])])
    assert not is_trained_on("a", other / "images" / "a.tif", known)
    assert is_trained_on("a", None, known)  # nothing but the name is known


def test_where_the_data_are_gone_the_name_tells(tmp_path):
    data = write_images(tmp_path / "data", "a")
    known = trained_on(
        [write_run(tmp_path / "run", tmp_path / "gone", ["a", "s_p001", "s_t003_z01"])]
    )
    assert is_trained_on("a", data / "images" / "a.tif", known)
    for known_page, other in (("s_p001", "s_p000"), ("s_t003_z01", "s_t003_z02")):
        assert is_trained_on(known_page, None, known)
        assert not is_trained_on(other, None, known)


@pytest.mark.parametrize("page", ["s_p001", "s_t003_z01", "s_s1"])
def test_a_page_is_of_the_file_that_it_is_named_after(tmp_path, page):
    data = write_images(tmp_path / "data", "s", "s_two")
    known = trained_on([write_run(tmp_path / "run", data, [page])])
    assert is_trained_on("any", data / "images" / "s.tif", known)
    assert not is_trained_on("any", data / "images" / "s_two.tif", known)


def test_what_a_run_began_with_counts(tmp_path):
    data = write_images(tmp_path / "data", "a", "b")
    first = write_run(tmp_path / "first", data, ["a"])
    second = write_run(tmp_path / "second", data, ["b"], init_from=str(first))
    third = write_run(tmp_path / "third", "", [], init_from=str(second))
    known = trained_on([third])
    assert all(is_trained_on(name, None, known) for name in "ab")


def test_runs_are_those_given_or_those_the_prediction_names(tmp_path):
    run = write_run(tmp_path / "run", "", [])
    predicted = tmp_path / "pred"
    predicted.mkdir()
    assert runs_of(predicted, []) == ((), ())
    named = [{"run": str(run)}, {"run": "gone"}, {"run": "the default model"}]
    (predicted / "prediction.json").write_text(json.dumps({"runs": named}))
    found = runs_of(predicted, [])
    assert found.there == (run,) and [str(p) for p in found.gone] == ["gone"]
    assert runs_of(predicted, [run]).gone == ()
    with pytest.raises(BeadsegError, match="not a run folder"):
        runs_of(predicted, [tmp_path])


@pytest.mark.parametrize(
    "config, split",
    [
        ({"data": [], "partial": 3}, {}),
        ({"data": {"dir": 1}, "init_from": 1}, {"train": ["a@0,0"]}),
        ({}, {"train": 0.5}),
        ({}, {"train": [None]}),
        ({}, []),
    ],
)
def test_a_damaged_run_tells_nothing(tmp_path, config, split):
    run = write_run(tmp_path / "run", write_images(tmp_path / "data", "a"), [])
    told = json.loads((run / "config.json").read_text()) | config
    (run / "config.json").write_text(json.dumps(told))
    (run / "split.json").write_text(json.dumps(split))
    assert not is_trained_on("a", None, trained_on([run]))


@pytest.mark.parametrize("named", [3, [3], [[]], [{"run": 5}]])
def test_what_names_no_run_is_none(tmp_path, named):
    (tmp_path / "prediction.json").write_text(json.dumps({"runs": named}))
    assert runs_of(tmp_path, []).there == ()
