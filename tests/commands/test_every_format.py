"""A folder with a file of every kind is predicted in one command."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from beadseg.data.images.readers import READERS
from tests.calls import exit_code, rows_of
from tests.data.images.written import leica, nikon, video, write_czi, write_zarr
from tests.inference import bright


@pytest.fixture
def folder(tmp_path):
    """The same image 13 times."""
    for library in ("av", "liffile", "nd2", "pylibCZIrw", "zarr"):
        pytest.importorskip(library)
    image = bright.beads_image()[0]
    grey = (image // 4).astype(np.uint8)
    folder = tmp_path / "in"
    folder.mkdir()
    um = {"resolution": (2, 2), "metadata": {"unit": "um"}, "imagej": True}
    tifffile.imwrite(folder / "tif.tif", image, **um)
    for ending in ("png", "bmp", "jpg"):
        Image.fromarray(grey).save(folder / f"{ending}.{ending}", quality=95)
    write_czi(folder / "czi.czi", image[None, None, None, None])
    (folder / "nd2.nd2").write_bytes(nikon(image[None, None, None], ["DAPI"]))
    (folder / "lif.lif").write_bytes(leica({"one": image[None]}))
    write_zarr(folder / "zarr4.ome.zarr", image, "0.4", "yx")
    write_zarr(folder / "zarr5.ome.zarr", image, "0.5", "yx")
    for ending, codec, pixels in (
        ("avi", "ffv1", "gray"),
        ("mkv", "ffv1", "gray"),
        ("mp4", "libx264", "yuv420p"),
        ("mov", "mjpeg", "yuvj420p"),
    ):
        video(folder / f"{ending}.{ending}", codec, pixels, np.stack([grey] * 3))
    return folder


@pytest.fixture
def run(tmp_path):
    return bright.write_run(tmp_path / "run")


def test_every_kind_in_one_command_gives_the_same_count(folder, run, tmp_path, capsys):
    out = tmp_path / "out"
    flags = ("--run", run, "-o", out, "--every", 3, "--only", "labels")
    assert exit_code("predict", folder, *flags) == 0
    rows = {row["image"]: row for row in rows_of(out / "images.csv")}
    assert len(rows) == 13
    for name, reader in READERS.items():
        assert any(r["file"].endswith(reader.endings) for r in rows.values()), name
    truth = bright.beads_image()[1].max()
    assert {row["count"] for row in rows.values()} == {str(truth)}
    exact = [rows[name] for name in ("tif", "czi", "lif", "zarr4", "zarr5")]
    assert {float(row["pixel_size_um"]) for row in exact} == {0.5}
    for column in ("median_diameter_um", "coverage", "threshold"):
        assert len({row[column] for row in exact}) == 1, column


def of_zeiss(file, images: np.ndarray, names: tuple[str, str]) -> None:
    pytest.importorskip("pylibCZIrw")
    write_czi(file, images, names)


def of_ome(file, images: np.ndarray, names: tuple[str, str]) -> None:
    with tifffile.TiffWriter(file, ome=True) as out:
        for number, stack in enumerate(images):
            about = {"axes": "TZCYX", "Name": str(number), "Channel": {"Name": names}}
            out.write(stack, metadata=about, photometric="minisblack")


@pytest.mark.parametrize(("name", "write"), [("a.czi", of_zeiss), ("a.tif", of_ome)])
def test_a_plane_says_its_place_in_names_and_tables(run, tmp_path, capsys, name, write):
    image, labels = bright.beads_image()
    images = np.broadcast_to(image, (2, 2, 2, 2, *image.shape))
    write(tmp_path / name, images, ("DAPI", "GFP"))
    out = tmp_path / "out"
    flags = ("--run", run, "-o", out, "--only", "labels", "--channel")
    assert exit_code("predict", tmp_path / name, *flags, "gfp") == 0
    rows, beads = rows_of(out / "images.csv"), rows_of(out / "beads.csv")
    assert len(rows) == 8 and len(beads) == 8 * labels.max()
    for table in (rows, beads):
        places = [[row[c] for c in ("scene", "t", "z", "channel")] for row in table]
        per_page = np.array(places).reshape(8, -1, 4)[:, 0].tolist()
        expected = [[s, t, z, "GFP"] for s in "01" for t in "01" for z in "01"]
        assert per_page == expected
    page = "a_s1_t000_z01" if name == "a.czi" else "a_p005"
    assert rows[5]["image"] == page
    assert (out / "labels" / f"{page}.tif").is_file()


def test_a_channel_that_one_file_lacks_leaves_the_others(run, tmp_path, capsys):
    pytest.importorskip("pylibCZIrw")
    image = bright.beads_image()[0]
    both = np.broadcast_to(image, (1, 1, 1, 2, *image.shape))
    write_czi(tmp_path / "a.czi", both, ("DAPI", "GFP"))
    write_czi(tmp_path / "b.czi", both, ("DAPI", "RFP"))
    flags = ("--run", run, "--only", "labels", "--channel", "RFP")
    files, out = (tmp_path / "a.czi", tmp_path / "b.czi"), tmp_path / "out"
    assert exit_code("predict", *files, *flags, "-o", out) == 1
    assert "a.czi: there is no channel 'RFP' (DAPI, GFP)" in capsys.readouterr().err
    assert [row["image"] for row in rows_of(out / "images.csv")] == ["b"]
