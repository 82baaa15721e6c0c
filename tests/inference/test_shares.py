"""One prediction by several processes has the files of one process alone."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile

from beadseg import cli
from beadseg.commands import predict
from beadseg.inference import batch, inputs, shares
from beadseg.sweep.claims import Claims
from tests.commands.test_predict import call
from tests.inference.bright import beads_image, write_run


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A run, images, one of two pages, one of two channels, two that are damaged."""
    root = tmp_path_factory.mktemp("many")
    image, _ = beads_image()
    folder = root / "images"
    folder.mkdir()
    for number in range(7):
        part = np.roll(image, number)[: image.shape[0] - 16 * (number % 2)]
        tifffile.imwrite(folder / f"{number}.tif", part)
    both = {"imagej": True, "metadata": {"axes": "CYX"}}
    tifffile.imwrite(folder / "6.tif", np.stack([image, image // 2]), **both)
    tifffile.imwrite(folder / "pages.tif", [image, image[::-1]])
    tifffile.imwrite(folder / "nan.tif", np.full((64, 64), np.nan, np.float32))
    (folder / "none.tif").touch()
    return write_run(root / "run"), folder


def prepare(run, folder, output, tasks):
    arguments = ["predict", folder, "--run", run, "-o", output]
    found = predict.found(cli.parse(list(map(str, arguments))))
    return arguments, shares.prepare(*found, tasks)


def files_of(output):
    """Bytes of what a user sees."""
    return {
        str(file.relative_to(output)): file.read_bytes()
        for file in output.rglob("*")
        if file.is_file() and not file.relative_to(output).parts[0].startswith(".")
    }


def test_tasks_give_the_bytes_of_one_process_and_one_joins(many, tmp_path, capsys):
    run, folder = many
    alone, output = tmp_path / "alone", tmp_path / "shared"
    code, lines, errors = call(capsys, "predict", folder, "--run", run, "-o", alone)
    assert code == 1
    arguments, about = prepare(run, folder, output, 2)
    assert about == {"images": 10, "shares": 10}
    capsys.readouterr()
    code, told, said = call(capsys, *arguments, "--task", 1)
    assert code == 1
    assert told[0] == "task 1 of 2: 10 of 10 images"
    assert told[1:-1] == lines[:-1]
    assert [e for e in said if "failed" in e] == [e for e in errors if "failed" in e]
    assert files_of(output) == files_of(alone)
    code, told, _ = call(capsys, *arguments, "--task", 0)
    assert (code, told[0]) == (0, "task 0 of 2: 0 of 10 images")
    assert "another task writes the tables" in told[1]


@pytest.mark.slow
def test_killed_tasks_lose_nothing_and_none_is_done_twice(many, tmp_path):
    run, folder = many
    output, alone = tmp_path / "shared", tmp_path / "alone"
    arguments, _ = prepare(run, folder, output, 3)
    command = [sys.executable, "-m", "beadseg.cli", *map(str, arguments)]
    tasks = [
        subprocess.Popen(
            [*command, f"--task={task}"], stdout=subprocess.PIPE, text=True
        )
        for task in range(3)
    ]
    claims = output / batch.CLAIMS
    until = time.monotonic() + 300
    while not any(claim.stat().st_size for claim in claims.glob("*.0")):
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(tasks[0].pid, signal.SIGKILL)
    tasks[1].terminate()
    told, _ = tasks[2].communicate(timeout=600)
    for task in tasks[:2]:
        task.communicate(timeout=60)
    command = [sys.executable, "-m", "beadseg.cli", "predict", folder, "--run", run]
    subprocess.run([*command, "-o", alone], capture_output=True, check=False)
    assert "beads in 9 images" in told
    assert files_of(output) == files_of(alone)
    left_over = [p.name for p in output.rglob(".*.*") if p.suffix[1:].isdecimal()]
    assert len(left_over) <= 7  # of the killed one alone


def test_an_image_that_ends_every_process_is_left_out_in_the_end(
    many, tmp_path, capsys
):
    run, folder = many
    output = tmp_path / "shared"
    arguments, _ = prepare(run, folder, output, 2)
    for generation in range(shares.TRIES + 1):
        claim = output / batch.CLAIMS / f"002.{generation}"
        claim.write_text("{}")
        os.utime(claim, (0, 0))
    capsys.readouterr()
    _, told, errors = call(capsys, *arguments, "--task", 0)
    assert "in 8 images" in told[-1]
    assert sum("2.tif: 4 processes have ended" in line for line in errors) == 1


def test_what_was_prepared_again_goes_on_from_the_records(many, tmp_path, capsys):
    run, folder = many
    output = tmp_path / "shared"
    arguments, _ = prepare(run, folder, output, 2)
    call(capsys, *arguments, "--task", 0)
    before = {f: f.stat().st_mtime_ns for f in (output / "labels").iterdir()}
    prepare(run, folder, output, 4)
    capsys.readouterr()
    _, told, _ = call(capsys, *arguments, "--task", 0)
    assert told[0] == "task 0 of 4: 1 of 10 images"  # that which failed
    assert {f: f.stat().st_mtime_ns for f in (output / "labels").iterdir()} == before


def test_the_listing_gives_back_what_was_found(many, tmp_path):
    run, folder = many
    found = inputs.find_inputs([str(folder)])
    prepare(run, folder, tmp_path / "out", 1)
    read = shares.Shares(tmp_path / "out")
    assert read.inputs.images == found.images
    assert read.inputs.problems == found.problems
    each = [i for share in range(read.count) for i in read.images(share)]
    assert each == found.images


@pytest.mark.parametrize(("images", "tasks", "size"), [(48, 4, 1), (100_000, 100, 16)])
def test_shares_are_small_beside_the_part_of_a_task(images, tasks, size):
    assert shares.share_size(images, tasks) == size


def test_a_folder_in_which_tasks_work_is_left_to_them(many, tmp_path, capsys):
    run, folder = many
    output = tmp_path / "shared"
    arguments, _ = prepare(run, folder, output, 2)
    with Claims(output / batch.CLAIMS, 60) as claims:
        assert claims.take(3)
        capsys.readouterr()
        code, _, errors = call(capsys, *arguments, "--resume")
        said = [line for line in errors if not line.startswith("note: ")]
        assert (code, len(said)) == (2, 1)
        assert "tasks of a job work in this folder" in said[0]
    assert call(capsys, *arguments, "--resume")[0] == 1  # as two files are damaged


def test_a_task_of_another_folder_or_of_other_settings_is_refused(
    many, tmp_path, capsys
):
    run, folder = many
    arguments, _ = prepare(run, folder, tmp_path / "shared", 2)
    capsys.readouterr()
    elsewhere = [tmp_path / "not" if a == tmp_path / "shared" else a for a in arguments]
    code, _, errors = call(capsys, *elsewhere, "--task", 0)
    assert (code, len(errors)) == (2, 1) and "is not prepared" in errors[0]
    code, _, errors = call(capsys, *arguments, "--task", 0, "--threshold", 0.4)
    assert (code, len(errors)) == (2, 1) and "was made with threshold" in errors[0]
    listing = tmp_path / "shared" / batch.TASKS / shares.LISTING
    whole = listing.read_bytes()
    told = json.loads(gzip.decompress(whole))
    for damage in ({"size": 0}, {"tasks": "x"}, {"images": 3}, {"images": [[1, 2]]}):
        listing.write_bytes(gzip.compress(json.dumps(told | damage).encode()))
        code, _, errors = call(capsys, *arguments, "--task", 0)
        assert (code, len(errors)) == (2, 1) and "damaged" in errors[0]
    listing.write_bytes(whole[:-9])
    code, _, errors = call(capsys, *arguments, "--task", 0)
    assert (code, len(errors)) == (2, 1) and "damaged" in errors[0]
    shutil.rmtree(tmp_path / "shared")
