"""`beadseg calibrate` on prediction folders whose counts are known."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beadseg.analysis.calibration import naming
from beadseg.analysis.calibration.series import Optics, build, names_of, read_rows
from beadseg.errors import BeadsegError
from beadseg.tables import write_csv
from tests.calls import call, rows_of

PATTERN = r"^(\d+)x_"


@pytest.fixture
def folder(tmp_path):
    """Writes a prediction folder: counts by the names of images."""

    def write(counts: dict[str, object], **columns) -> Path:
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        with open(out / "images.csv", "w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["image", "count", *columns])
            for name, count in counts.items():
                lines.writerow([name, count, *columns.values()])
        return out

    return write


@pytest.fixture
def calibrate(capsys):
    """Runs the command; returns exit code, lines of stdout and lines of stderr."""

    return lambda *arguments: call(capsys, "calibrate", *arguments)


def series(top=640, dilutions=(10, 20, 40, 80, 160), frames=3, blanks=0, seed=0):
    """Poisson counts in proportion to concentration."""
    random = np.random.default_rng(seed)
    counts = {
        f"{d}x_{frame}": int(random.poisson(top * dilutions[0] / d))
        for d in dilutions
        for frame in range(frames)
    }
    return counts | {f"blank_{i}": int(random.poisson(0.5)) for i in range(blanks)}


def result_of(folder):
    return json.loads((folder / "calibration" / "calibration.json").read_text())


def test_page_tables_and_json_tell_the_line_and_the_blank(folder, calibrate, tmp_path):
    out = folder(series(blanks=5))
    file = tmp_path / "all.json"
    code, said, problems = calibrate(out, "--dilution", PATTERN, "--json", file)
    assert code == 0 and not problems
    result = result_of(out)
    assert result == json.loads(file.read_text())
    assert result["line"]["slope"] == pytest.approx(1, abs=0.1)
    assert result["line"]["interval"][0] < 1 < result["line"]["interval"][1]
    blank = result["blank"]
    assert blank["detection"] == pytest.approx(blank["level"] + 3 * blank["sigma"])
    assert result["sentence"] in said
    assert any("limit of detection" in line for line in said)
    page = (out / "calibration" / "calibration.html").read_text()
    assert "<svg" in page and "limit of quantification" in page
    assert "IUPAC" in page and result["sentence"] in page
    rows = rows_of(out / "calibration" / "dilutions.csv")
    assert [row["dilution"] for row in rows] == ["10", "20", "40", "80", "160"]
    counts = series(blanks=5)
    assert int(rows[0]["count"]) == sum(counts[f"10x_{i}"] for i in range(3))
    assert float(rows[0]["between_low"]) < float(rows[0]["between_high"])
    assert sorted(f.name for f in (out / "calibration").iterdir()) == [
        "calibration.html",
        "calibration.json",
        "dilutions.csv",
        "frames.csv",
        "images.csv",
    ]


def test_crops_of_a_frame_are_one_count(folder, calibrate):
    counts = {
        f"{d}x_2025-05-16_00-59-00_{f:03d}_grid_r{r}_c{c}": 320 // d
        for d in (10, 20, 40, 80)
        for f in (1, 2)
        for r in (0, 1)
        for c in (0, 1)
    }
    out = folder(counts)
    _, said, _ = calibrate(out, "--dilution", PATTERN)
    result = result_of(out)
    assert len(result["frames"]) == 8 and len(result["images"]) == 32
    assert result["dilutions"][0]["frames"] == 2
    assert {frame["images"] for frame in result["frames"]} == {4}
    assert any("32 images are parts of 8 frames" in line for line in said)
    calibrate(out, "--dilution", PATTERN, "--frame", ".*")
    assert len(result_of(out)["frames"]) == 32


def test_pages_of_a_file_are_one_frame(folder):
    out = folder({f"10x_a_p{page:03d}": 4 for page in range(3)}, file="/d/10x_a.tif")
    rows = read_rows(out)
    samples = naming.by_pattern(names_of(rows), PATTERN)
    found = build(rows, samples, Optics())
    assert [(frame.name, frame.images) for frame in found.frames] == [("10x_a", 3)]


def test_replicates_are_the_independent_counts(folder, calibrate):
    counts = {
        f"{d}x_slide{s}_f{f}": 960 // d + s
        for d in (10, 20, 40)
        for s in (1, 2, 3)
        for f in (1, 2)
    }
    out = folder(counts)
    calibrate(out, "--dilution", PATTERN, "--replicate", r"slide(\d)")
    result = result_of(out)
    assert result["counted"] == "replicate"
    assert len(result["replicates"]) == 9 and len(result["frames"]) == 18
    assert result["dilutions"][0]["count"] == 2 * (3 * 96 + 6)
    assert result["line"]["df"] == 7


@pytest.mark.parametrize(
    "text, dilution",
    [("2560", 2560), ("2560x", 2560), ("1:100", 100), ("1/100", 100), ("1e3", 1000),
     ("2.5", 2.5), ("0.5", None), ("0", None), ("-3", None), ("nan", None),
     ("1e999", None), ("x", None), ("", None)],
)  # fmt: skip
def test_dilutions_are_read_as_labs_write_them(text, dilution):
    assert naming.dilution_of(text) == dilution


def test_pattern_may_name_its_group_or_have_none_and_look_into_folders():
    images = [naming.Names("a", "/d/100x/a.tif"), naming.Names("b", "/d/10x/b.tif")]
    for pattern in (r"(\d+)x", r"\d+x", r"(?P<dilution>\d+)(x)", r"(?:/)(\d+)x/"):
        found = naming.by_pattern(images, pattern)
        assert [sample.dilution for sample in found] == [100, 10]


def test_table_gives_dilutions_blanks_and_replicates(folder, calibrate, tmp_path):
    counts = {"a": 90, "b": 33, "c": 10, "d": 1, "e": 5}
    out = folder(counts)
    table = tmp_path / "dilutions.csv"
    table.write_text(
        "\ufeffimage;dilution;replicate\na.tif;10;1\nb;1:30;1\nc;100,0;2\nd;blank;\n",
        encoding="utf-8",
    )
    rows = [dict(row, file=f"/d/{row['image']}.tif") for row in read_rows(out)]
    found = naming.by_table(names_of(rows), table)
    assert [sample and sample.dilution for sample in found] == [10, 30, 100, None, None]
    assert [sample and sample.replicate for sample in found][:3] == ["1", "1", "2"]
    assert found[3] == naming.Sample(None, None) and found[4] is None
    code, said, _ = calibrate(out, "--dilution", table)
    assert code == 0
    assert any("2 images left out, no dilution: a, e" in line for line in said)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_tables_of_excel_give_dilutions(tmp_path, encoding):
    images = [naming.Names(name, "") for name in ("Kügelchen", "b")]
    table = tmp_path / "dilutions.csv"
    text = "sep=;\r\nimage;dilution\r\nKügelchen;10,5\r\n\r\nb;ten\r\n"
    table.write_bytes(text.encode(encoding))
    with pytest.raises(BeadsegError, match="line 5: 'ten' is no dilution"):
        naming.by_table(images, table)
    table.write_bytes(text.replace("ten", "1:30").encode(encoding))
    found = naming.by_table(images, table)
    assert [sample.dilution for sample in found] == [10.5, 30]


def test_names_that_people_take_for_one_are_found_in_a_table(tmp_path):
    """Accents as macOS stores them, and the case of letters."""
    images = [naming.Names("K\u00fcgelchen", "/d/K\u00fcgelchen.tif")]
    images += [naming.Names(name, f"/d/{name}.tif") for name in ("b", "c", "C")]
    table = tmp_path / "dilutions.csv"
    rows = "Ku\u0308gelchen,10\nB.TIF,30\nc,100\nC,1000\n"
    table.write_text(rows, encoding="utf-8")
    found = naming.by_table(images, table)
    assert [sample.dilution for sample in found] == [10, 30, 100, 1000]


def test_comments_and_empty_cells_of_a_table_give_no_dilution(tmp_path):
    images = [naming.Names(name, "") for name in ("a", "b", "#1")]
    table = tmp_path / "dilutions.csv"
    table.write_text("# slide 3, by hand\n% image;dilution\n#1;30\na;10,5\nb;\n")
    found = naming.by_table(images, table)
    assert [sample and sample.dilution for sample in found] == [10.5, None, 30]


def test_a_table_from_a_pipe_is_not_waited_for(folder, calibrate, tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    code, _, errors = calibrate(folder({"a": 9}), "--dilution", tmp_path / "pipe.csv")
    assert code == 2 and "pipe.csv: cannot be read" in errors[-1]


@pytest.mark.parametrize("kind", ["parquet", "excel-eu"])
def test_other_tables_are_read_as_csv_is(folder, calibrate, kind):
    counts = series()
    out = folder(counts)
    calibrate(out, "--dilution", PATTERN)
    first = result_of(out)
    (out / "images.csv").unlink()
    table = {"image": list(counts), "count": list(counts.values())}
    if kind == "parquet":
        pq.write_table(pa.table(table), out / "images.parquet")
    else:
        table = {name: np.array(column, object) for name, column in table.items()}
        write_csv(out / "images.csv", [table], kind)
    calibrate(out, "--dilution", PATTERN)
    assert result_of(out)["line"] == first["line"]


def test_density_and_concentration_are_those_of_area_and_depth(folder, calibrate):
    """0.5 um x 1000 px: 0.25 mm2; 40 um deep: 0.01 mm3 = 1e-5 ml."""
    counts = {f"{d}x_{i}": 3200 // d for d in (10, 20, 40, 80) for i in (1, 2)}
    out = folder(counts, height=1000, width=1000, pixel_size_um=0.5)
    rows = {"--area": ("--area", 0.25, "--depth", 40), "--depth": ("--depth", 40)}
    rows["--volume"] = ("--volume", 0.01)
    for options in rows.values():
        assert calibrate(out, "--dilution", PATTERN, *options)[0] == 0
        result = result_of(out)
        row = result["dilutions"][0]
        assert row["per_mm2"] == pytest.approx(320 / 0.25)
        assert row["per_ml"] == pytest.approx(320 / 1e-5)
        undiluted = result["line"]["undiluted"]["per_ml"]
        assert undiluted["value"] == pytest.approx(3200 / 1e-5, rel=1e-3)


def test_beads_on_the_edge_count_for_the_part_that_is_the_image_s(folder, calibrate):
    counts = {f"{d}x_{i}": 4000 // d for d in (10, 20, 40, 80) for i in (1, 2)}
    out = folder(counts, height=100, width=100, pixel_size_um=1.0)
    rows = rows_of(out / "images.csv")
    for row in rows:
        row["edge_corrected_count"] = 0.9 * int(row["count"])
    with open(out / "images.csv", "w", newline="") as table:
        lines = csv.DictWriter(table, rows[0])
        lines.writeheader()
        lines.writerows(rows)
    calibrate(out, "--dilution", PATTERN)
    row = result_of(out)["dilutions"][0]
    assert row["per_field"] == pytest.approx(400)
    assert row["per_mm2"] == pytest.approx(0.9 * 400 / 0.01)


def test_larger_images_show_more_of_the_sample(folder):
    out = folder({"10x_a": 100, "10x_b": 25})
    rows = read_rows(out)
    for row, side in zip(rows, (200, 100), strict=True):
        row |= {"height": side, "width": side}
    found = build(rows, naming.by_pattern(names_of(rows), PATTERN), Optics())
    a, b = found.frames
    assert a.count / a.exposure == pytest.approx(b.count / b.exposure)


def test_images_of_no_bead_give_a_page_and_a_line(folder, calibrate):
    counts = series(top=6, frames=4)
    assert 0 in counts.values()
    out = folder(counts)
    code, _, problems = calibrate(out, "--dilution", PATTERN)
    assert code == 0 and not problems
    low, high = result_of(out)["line"]["interval"]
    assert low < 1 < high


@pytest.mark.parametrize(
    "counts, limit",
    [
        ({"10x_a": 5, "10x_b": 9}, "all images have the dilution 10"),
        ({"10x_a": 0, "20x_b": 0}, "0 of 2 dilutions hold any bead"),
        ({"10x_a": 7, "20x_b": 0}, "1 of 2 dilutions hold any bead"),
        ({"10x_a": 40, "20x_b": 20}, "the interval of the slope is Poisson's"),
        ({"10x_a": 40, "20x_b": 20, "40x_c": 11}, "3 dilutions: from 4 on"),
        ({"10x_a": 40, "20x_b": 20, "40x_c": 11}, "one frame per dilution"),
        ({"10x_a": 40, "20x_b": 20}, "no blank: its level"),
        ({"10x_a": 40, "20x_b": 20, "blank": 1}, "one blank: its spread"),
        ({"10x_a": 4, "20x_b": 2, "blank": 99}, "more beads than the blank"),
    ],
)
def test_what_cannot_be_said_is_told_with_the_counts(folder, calibrate, counts, limit):
    out = folder(counts)
    code, said, problems = calibrate(out, "--dilution", PATTERN)
    assert code == 0 and not problems
    result = result_of(out)
    assert any(limit in line for line in result["limits"])
    assert any(limit in line for line in said)
    assert sum(row["count"] for row in result["dilutions"]) == sum(
        count for name, count in counts.items() if name != "blank"
    )
    assert (out / "calibration" / "calibration.html").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (("--dilution", r"^(\d+)-fold"), "matches no image name, such as 10x_a"),
        (("--dilution", "x_(.)"), "'a' in 10x_a, which is no dilution"),
        (("--dilution", r"(\d+"), "no regular expression"),
        (("--dilution", r"(\d+)(x)_"), "has 2 groups"),
        (("--dilution", "missing.csv"), "missing.csv: cannot be read"),
        (("--dilution", PATTERN, "--blank", "water"), "--blank 'water': matches no"),
        (("--dilution", PATTERN, "--blank", "["), "--blank '[': is no regular"),
        (("--dilution", PATTERN, "--replicate", r"slide(\d)"), "--replicate"),
        (("--dilution", PATTERN, "--frame", "slide"), "--frame 'slide': matches no"),
        (("--dilution", PATTERN, "--depth", "20"), "the area of an image is not known"),
        (("--dilution", PATTERN, "--area", "-1"), "--area -1: give a number above 0"),
        (("--dilution", PATTERN, "--pixel-size", "nan"), "--pixel-size: nan: give um"),
        (("--dilution", PATTERN, "--volume", "1", "--depth", "2"), "give one"),
    ],
)
def test_wrong_options_are_one_line(folder, calibrate, options, message):
    code, _, problems = calibrate(folder({"10x_a": 5, "20x_b": 3}), *options)
    assert code == 2 and len(problems) == 1
    assert problems[0].startswith("error: ") and message in problems[0]


@pytest.mark.parametrize("count", ["-3", "nan", "", "2.5", "many", "inf"])
def test_counts_that_are_none_are_one_line(folder, calibrate, count):
    out = folder({"10x_a": 5, "20x_b": count})
    code, _, problems = calibrate(out, "--dilution", PATTERN)
    assert code == 2 and len(problems) == 1
    assert "images.csv" in problems[0] and "count" in problems[0]
    assert not (out / "calibration").exists()


@pytest.mark.parametrize(
    "text, message",
    [
        ("image,dilution\na,10\nb,thin\n", "line 3: 'thin' is no dilution"),
        ("a,10\na,20\n", "line 2: a stands there twice"),
        ("a\nb\n", "line 1: has 1 column"),
        ("a,1,2,3\n", "line 1: has 4 columns"),
        ("other,10\n", "gives no image a dilution"),
        ("", "gives no image a dilution"),
    ],
)
def test_wrong_tables_are_one_line(folder, calibrate, tmp_path, text, message):
    table = tmp_path / "dilutions.csv"
    table.write_text(text)
    out = folder({"a": 5, "b": 3})
    code, _, problems = calibrate(out, "--dilution", table)
    assert code == 2 and len(problems) == 1 and message in problems[0]


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "no images.csv in it"),
        (b"", "lists no image"),
        (b"image,beads\na,3\n", "has no 'count'"),
        (b"image,count\na,3\na,4\n", "names an image twice"),
        (b"image,count\n\xff\xfe,3\n", "cannot be read"),
    ],
)
def test_wrong_folders_are_one_line(calibrate, tmp_path, content, message):
    if content is not None:
        (tmp_path / "images.csv").write_bytes(content)
    code, _, problems = calibrate(tmp_path, "--dilution", PATTERN)
    assert code == 2 and len(problems) == 1 and message in problems[0]
    code, _, problems = calibrate(tmp_path / "none", "--dilution", PATTERN)
    assert code == 2 and "no such folder" in problems[0]
