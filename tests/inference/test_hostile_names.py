"""Images with names that disks allow and other things do not, in one batch."""

import contextlib
import csv
import json
import os
import socket
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile

from beadseg import cli
from tests.inference.bright import beads_image

NAMES = {  # on disk: in tables and as the name of outputs
    b"plain": "plain",
    b"gr\xf6\xdfe": "gr%F6%DFe",  # Latin-1
    b"\x83r\x81[\x83Y": "%83r%81[%83Y",  # Shift-JIS
    b"\xff\xfe\x80": "%FF%FE%80",
    b"two\nlines": "two%0Alines",
    b"tab\there\r": "tab%09here%0D",
    b"\x1b[31mred": "%1B[31mred",
    b"$x_{$ {0} %s <b>": "$x_{$ {0} %s <b>",
    b"[a-z]*?": "[a-z]*?",
    b"=1+2": "=1+2",
    b"@b'\"` &;": "@b'\"` &;",
    b"-o": "-o",
}
LONG = [b"y" * 251, "é".encode() * 125, "🔬".encode() * 62]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    tifffile.imwrite(folder / "first.tif", beads_image()[0])
    content = (folder / "first.tif").read_bytes()
    for name in (*NAMES, *LONG):
        with open(os.path.join(os.fsencode(folder), name + b".tif"), "wb") as file:
            file.write(content)
    return folder


def predict(run, folder, output, *more):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["predict", str(folder), "--run", str(run), "-o", str(output), *more])
    return stopped.value.code


def rows(file):
    with open(file, newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_every_image_is_done_whatever_its_name(bright_run, folder, tmp_path, capsys):
    output = tmp_path / "out"
    assert predict(bright_run, folder, output, "--json", str(tmp_path / "r.json")) == 0
    found = {row["image"]: row for row in rows(output / "images.csv")}
    cells = {f"'{n}" if n[0] in "=+-@" else n for n in NAMES.values()}
    assert cells < set(found)
    assert len(found) == len(NAMES) + len(LONG) + 1
    counts = {row["count"] for row in found.values()}
    assert len(counts) == 1 and counts != {"0"}
    in_beads = {row["image"] for row in rows(output / "beads.csv")}
    assert in_beads == set(found)
    for name in NAMES.values():
        assert (output / "labels" / f"{name}.tif").exists()
        assert (output / "geojson" / f"{name}.geojson").exists()
    told = json.loads((tmp_path / "r.json").read_text())
    assert len(told["images"]) == len(found)
    os.fsencode(capsys.readouterr().out).decode()  # valid text
    assert predict(bright_run, folder, output, "--resume") == 0
    assert "of them before" in capsys.readouterr().out


def test_parquet_tables_stand_too(bright_run, folder, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    output = tmp_path / "out"
    flags = ("--only", "labels", "--tables", "parquet")
    assert predict(bright_run, folder, output, *flags) == 0
    names = pq.read_table(output / "images.parquet")["image"].to_pylist()
    assert set(NAMES.values()) < set(names)


def pipe(path):
    os.mkfifo(path)


def sock(path):
    with contextlib.chdir(path.parent):  # whose name may be too long for one
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)


def circle(path):
    path.symlink_to(path.name)


def two_links(path):
    path.symlink_to("other")
    path.with_name("other").symlink_to(path.name)


def device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [pipe, sock, circle, two_links, device])
def test_what_is_no_file_is_named_and_the_rest_done(make, bright_run, tmp_path, capsys):
    folder = tmp_path / "i"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", beads_image()[0])
    make(folder / "x.tif")
    started = time.monotonic()
    assert predict(bright_run, folder, tmp_path / "o", "--only", "labels") == 1
    assert time.monotonic() - started < 30
    failed = [x for x in capsys.readouterr().err.splitlines() if "failed" in x]
    assert len(failed) == 1 and "x.tif" in failed[0]
    assert len(rows(tmp_path / "o" / "images.csv")) == 1


def chain(count, back_to=None):
    """A TIFF of `count` empty directories; the last leads to the one of `back_to`."""
    content = bytearray(struct.pack("<2sHI", b"II", 42, 8))
    for i in range(count):
        last = 0 if back_to is None else 8 + 6 * back_to
        content += struct.pack("<HI", 0, 8 + 6 * (i + 1) if i < count - 1 else last)
    return bytes(content)


def ome(count):
    """An OME-TIFF of one page that promises `count`."""
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="I">'
        '<Pixels DimensionOrder="XYZCT" ID="P" Type="uint8" SizeX="16" SizeY="16" '
        f'SizeZ="{count}" SizeC="1" SizeT="1"><TiffData/></Pixels></Image></OME>'
    )
    return lambda file: tifffile.imwrite(
        file, np.zeros((16, 16), np.uint8), description=xml, metadata=None
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda f: f.write_bytes(chain(120_000)),
        lambda f: f.write_bytes(chain(3000, back_to=0)),
        lambda f: f.write_bytes(chain(20_000, back_to=19_000)),
        lambda f: f.write_bytes(chain(1, back_to=0)),
        ome(400_000_000),
    ],
    ids=["many", "circle", "late circle", "itself", "promises"],
)
def test_directories_are_read_in_linear_time(make, bright_run, tmp_path, capsys):
    folder = tmp_path / "i"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", beads_image()[0])
    make(folder / "x.tif")
    started = time.monotonic()
    assert predict(bright_run, folder, tmp_path / "o", "--only", "labels") in (0, 1)
    assert time.monotonic() - started < 30
    assert "a" in {row["image"] for row in rows(tmp_path / "o" / "images.csv")}


def test_a_second_process_in_a_folder_is_refused(bright_run, tmp_path, capsys):
    from beadseg.files import folder_lock

    tifffile.imwrite(tmp_path / "a.tif", beads_image()[0])
    output = tmp_path / "o"
    output.mkdir()
    with folder_lock(output):
        assert predict(bright_run, tmp_path / "a.tif", output) == 2
    assert "works in this folder" in capsys.readouterr().err
    assert predict(bright_run, tmp_path / "a.tif", output) == 0


def test_leftovers_go_and_a_first_write_cut_short_refuses_nothing(
    bright_run, tmp_path, capsys
):
    tifffile.imwrite(tmp_path / "a.tif", beads_image()[0])
    output = tmp_path / "o"
    output.mkdir()
    (output / ".prediction.json.17.123456789").write_text("{")
    assert predict(bright_run, tmp_path / "a.tif", output) == 0
    left = [
        output / ".images.csv.4.7654321",
        output / "geojson" / ".a.geojson.4.7654321",
        output / ".done" / ".a.npz.4.7654321",
        output / "rois" / ".a.zip.4.7654321",
    ]
    for file in left:
        file.write_text("half")
    assert predict(bright_run, tmp_path / "a.tif", output, "--resume") == 0
    assert not any(file.exists() for file in left)
    assert not (output / ".prediction.json.17.123456789").exists()


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"\x00" * 500])
def test_a_damaged_record_is_done_again(damage, bright_run, tmp_path, capsys):
    tifffile.imwrite(tmp_path / "a.tif", beads_image()[0])
    output = tmp_path / "o"
    assert predict(bright_run, tmp_path / "a.tif", output) == 0
    before = (output / "images.csv").read_text()
    (output / ".done" / "a.npz").write_bytes(damage)
    assert predict(bright_run, tmp_path / "a.tif", output, "--resume") == 0
    assert (output / "images.csv").read_text() == before


@pytest.mark.slow
def test_three_hundred_images_take_no_more_memory_than_sixty(bright_run, tmp_path):
    code = (
        "import ctypes, gc, sys; from beadseg import cli\n"
        "trim = getattr(ctypes.CDLL(None), 'malloc_trim', lambda _: 0)\n"
        "from beadseg.inference import batch\n"
        "import psutil; me, seen = psutil.Process(), []\n"
        "write = batch.write_record\n"
        "def counted(*a):\n"
        "    write(*a); gc.collect(); trim(0)\n"  # what is free is given back
        "    seen.append(me.memory_info().rss)\n"
        "batch.write_record = counted\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "middle = lambda s: sorted(s)[len(s) // 2]\n"  # single ones wait to be freed
        "print('RATIO', middle(seen[240:]) / middle(seen[40:100]))"
    )
    image = beads_image()[0]
    folder = tmp_path / "i"
    folder.mkdir()
    for i in range(300):
        tifffile.imwrite(folder / f"{i:03d}.tif", np.roll(image, i, axis=1))

    def ratio(output):
        arguments = ["predict", folder, "--run", bright_run, "-o", output]
        command = [sys.executable, "-c", code, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return float(done.stdout.split("RATIO")[1].split()[0])

    # Allocators take some MB at once in one process of ten; a leak is in all of them.
    assert any(ratio(tmp_path / f"o{i}") < 1.02 for i in range(3))
