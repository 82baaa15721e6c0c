"""Folders good and bad: what is matched, what is said, and in which words."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from beadseg.data.folder import require_labels, scan
from beadseg.data.images.readers import endings_in_words, kinds_in_words
from beadseg.data.settings_file import BeadsToml, format_beads_toml, read_beads_toml
from beadseg.errors import BeadsegError


def refusal(config, *, labels: bool = False) -> str:
    with pytest.raises(BeadsegError) as caught:
        folder = scan(config.data)
        if labels:
            require_labels(folder)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.fixture
def data(tmp_path) -> Path:
    return tmp_path / "data"


def scanned(config):
    return scan(config.data)


# What is found


def test_images_are_matched_with_masks_ignore_and_points_by_stem(
    config, save, save_pairs
):
    save_pairs([4, 9])
    save("ignore/b.ome.tif", np.eye(96, dtype=np.uint8))
    save("points/a.tif", np.eye(96, dtype=np.uint8))
    a, b = scanned(config).samples
    assert (a.name, a.beads, a.points.path.name, a.ignore) == ("a", 4, "a.tif", None)
    assert (b.name, b.beads, b.points, b.ignore.path.name) == (
        "b",
        9,
        None,
        "b.ome.tif",
    )


@pytest.mark.parametrize(
    "name",
    [
        *("a_mask.tif", "a-labels.tif", "a_Masks.tif", "mask_a.tif", "a GT.tif"),
        *("a.tif_mask.tif", "a_Object Identities.tif", "Mask of a.tif"),
        *("a_Simple Segmentation.tif", "Count Masks of a.tif", "a-seg.tif"),
    ],
)
def test_masks_with_a_word_more_than_their_images_are_matched(
    config, data, save_pairs, name
):
    save_pairs([4, 9])
    (data / "masks/a.tif").rename(data / "masks" / name)
    found = scanned(config)
    assert found.samples[0].mask.path.name == name
    assert found.samples[0].beads == 4
    assert not found.problems


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("001_img", "001_masks"),
        ("img_1", "mask_1"),
        ("image07", "mask07"),
        ("Image-a", "Mask-a"),
        ("a_raw", "a_label"),
        ("Bead_01", "bead_01_MASK"),
        ("K\u00fcgelchen", "Ku\u0308gelchen"),
    ],
)
def test_images_with_a_word_of_their_own_are_matched(
    config, data, save_pairs, image, mask
):
    save_pairs([4, 9])
    (data / "images/a.tif").rename(data / f"images/{image}.tif")
    (data / "masks/a.tif").rename(data / f"masks/{mask}.tif")
    found = scanned(config)
    assert {s.name: s.beads for s in found.samples} == {image: 4, "b": 9}
    assert not found.problems


def test_diameters_are_those_of_discs_inside_the_image(config, save, discs):
    labels = discs((96, 96), [(48, 48), (0, 48)], 10)
    save("images/a.tif", labels.astype(np.uint8) * 50)
    save("masks/a.tif", labels.astype(np.uint16))
    (sample,) = scanned(config).samples
    assert sample.beads == 2
    assert sample.diameters == pytest.approx((20.0,), abs=0.3)


def test_page_i_goes_with_page_i(config, save, grid, picture):
    labels = np.stack([grid(n) for n in (2, 5, 8)])
    save("images/stack.tif", np.stack([picture(page) for page in labels]))
    save("masks/stack.tif", labels.astype(np.uint16))
    samples = scanned(config).samples
    assert [s.name for s in samples] == [f"stack_p00{i}" for i in range(3)]
    assert [s.beads for s in samples] == [2, 5, 8]
    assert {s.group for s in samples} == {"stack"}


def test_beads_toml_is_heard(config, data, save_pairs):
    save_pairs([2, 3, 4])
    (data / "beads.toml").write_text(
        "pixel_size = 0.5\n[completeness]\n'a.tif' = 0.4\n[group]\na = 'p'\nb = 'p'\n"
    )
    a, b, c = scanned(config).samples
    assert (a.group, b.group, c.group) == ("p", "p", "c")
    assert (a.completeness, b.completeness) == (0.4, None)
    assert a.pixel_size == 0.5


@pytest.mark.parametrize(
    "settings",
    [
        BeadsToml(),
        BeadsToml(pixel_size=0.5, channel=1, completeness=0.25),
        BeadsToml(completeness={'a "b"': 0.4}, group={"é 𝛼\\": "p", "c.d": "q"}),
    ],
)
def test_a_beads_toml_that_is_written_says_the_same(tmp_path, settings):
    text = format_beads_toml(settings)
    (tmp_path / "beads.toml").write_text(text, encoding="utf-8")
    assert read_beads_toml(tmp_path, str) == settings


def test_files_whose_names_share_the_pattern_are_one_group(config, save, grid, picture):
    for name in ("plate1_a", "plate1_b", "other"):
        save(f"images/{name}.tif", picture(grid(3)))
    config.data.group_pattern = r"(plate\d+)_"
    assert [s.group for s in scanned(config).samples] == ["other", "plate1", "plate1"]


# One bad file does not stop the rest


@pytest.mark.parametrize(
    ("break_it", "file", "words"),
    [
        (lambda p: p.write_bytes(b""), "images/b.tif", "the file is empty (0 bytes)"),
        (lambda p: p.write_bytes(p.read_bytes()[:300]), "images/b.tif", "(cut short)"),
        (lambda p: p.write_text("no image"), "images/b.tif", "not an image"),
        (lambda p: p.write_bytes(b""), "masks/b.tif", "the file is empty (0 bytes)"),
        (lambda p: save_nan(p), "images/b.tif", "all pixels are NaN or infinite"),
        (lambda p: save_constant(p), "images/b.tif", "every pixel is 7"),
        (lambda p: save_photograph(p), "masks/b.tif", "no mask but a photograph"),
        (lambda p: save_colours(p), "masks/b.tif", "the mask is in colour (RGB)"),
    ],
)
def test_a_bad_file_is_named_and_the_rest_is_used(
    config, data, save_pairs, break_it, file, words
):
    save_pairs([3, 4, 5])
    break_it(data / file)
    folder = scanned(config)
    (problem,) = folder.problems
    assert problem.startswith(f"{data / file}") and words in problem
    assert "\n" not in problem
    usable = [sample.name for sample in folder.samples if sample.mask]
    assert usable == ["a", "c"]
    require_labels(folder)


def save_nan(path):
    image = np.random.default_rng(0).random((96, 96)).astype(np.float32)
    image[:] = np.nan
    tifffile.imwrite(path, image)


def save_constant(path):
    tifffile.imwrite(path, np.full((96, 96), 7, np.uint8))


def save_photograph(path):
    grey = np.random.default_rng(0).integers(0, 256, (96, 96), np.uint8)
    tifffile.imwrite(path, grey)


def save_colours(path):
    colours = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    tifffile.imwrite(path, colours, photometric="rgb")


def test_one_bad_page_among_good_ones_is_named(config, save, grid, picture):
    labels = np.stack([grid(n) for n in (2, 5, 8)])
    images = np.stack([picture(page) for page in labels])
    images[1] = 9
    path = save("images/s.tif", images)
    save("masks/s.tif", labels.astype(np.uint16))
    folder = scanned(config)
    assert [sample.name for sample in folder.samples] == ["s_p000", "s_p002"]
    (problem,) = folder.problems
    assert problem.startswith(f"{path} page 1: every pixel is 9")


def test_sizes_that_differ_are_named(config, save, save_pairs, grid):
    save_pairs([3, 4, 5])
    path = save("masks/b.tif", grid(4, (90, 96)).astype(np.uint16))
    folder = scanned(config)
    assert folder.problems == (
        f"{path}: 90 x 96 px, but its image is 96 x 96 px: export both at the same "
        "size",
    )
    assert folder.notes == ()


def test_a_bad_ignore_file_takes_the_mask_out_of_training(config, save, save_pairs):
    save_pairs([3, 4])
    save("ignore/b.tif", np.ones((5, 5), np.uint8))
    assert [s.mask is None for s in scanned(config).samples] == [False, True]


def test_page_counts_that_differ_are_named(config, save, grid, picture):
    labels = np.stack([grid(2), grid(5)])
    save("images/s.tif", np.stack([picture(page) for page in labels]))
    path = save("masks/s.tif", labels[0].astype(np.uint16))
    folder = scanned(config)
    assert folder.problems == (
        f"{path}: 1 page, but its image has 2: only pages that both have are matched",
    )
    assert [s.mask is not None for s in folder.samples] == [True, False]


def test_a_page_for_each_bead_is_not_taken_for_a_mask(config, save, grid, picture):
    labels = grid(3)
    save("images/a.tif", picture(labels))
    pages = np.stack([labels == number for number in np.unique(labels)[1:]])
    path = save("masks/a.tif", pages.astype(np.uint8) * 255)
    folder = scanned(config)
    assert folder.problems[0].startswith(
        f"{path}: {len(pages)} pages, but its image has 1: save all beads on one page"
    )
    assert [s.mask for s in folder.samples] == [None]


def test_an_image_without_mask_is_kept_and_said(
    config, save, save_pairs, grid, picture
):
    save_pairs([3, 4])
    save("images/z.tif", picture(grid(2)))
    folder = scanned(config)
    assert [s.name for s in folder.samples] == ["a", "b", "z"]
    assert folder.notes == ("images without a mask, not trained on (1): z",)
    assert folder.problems == ()


def test_a_mask_without_image_is_named(config, save, save_pairs, grid):
    save_pairs([3, 4])
    path = save("masks/z.tif", grid(2).astype(np.uint16))
    assert scanned(config).problems == (f"{path}: no image of this name in images/",)


def test_two_files_of_one_stem_are_named(config, data, save_pairs):
    save_pairs([3, 4])
    Image.fromarray(np.eye(96, dtype=np.uint8)).save(data / "images" / "a.png")
    (problem,) = scanned(config).problems
    assert problem == (
        f"{data / 'images' / 'a.tif'}: of one name with a.png, which is used instead"
    )


def test_files_of_other_types_and_folders_are_named(config, data, save_pairs):
    save_pairs([3, 4])
    (data / "images" / "notes.txt").write_text("x")
    (data / "images" / ".hidden").write_text("x")
    (data / "images" / "old").mkdir()
    assert scanned(config).problems == (
        f"{data / 'images' / 'notes.txt'}: not a type that is read "
        f"({endings_in_words()})",
        f"{data / 'images' / 'old'}: a folder inside images/ is not looked into",
    )


def test_a_link_to_nothing_is_named(config, data, save_pairs):
    save_pairs([3, 4])
    (data / "images" / "z.tif").symlink_to(data / "gone.tif")
    assert scanned(config).problems == (
        f"{data / 'images' / 'z.tif'}: a link to nothing",
    )


def test_a_file_named_like_a_page_of_another_is_named(config, save, grid, picture):
    save("images/s.tif", np.stack([picture(grid(2))] * 2))
    path = save("images/s_p001.tif", picture(grid(3)))
    folder = scanned(config)
    assert folder.problems == (f"{path}: s_p001 is also another file",)
    assert len({sample.name for sample in folder.samples}) == 2


def test_a_note_on_many_files_is_one_line(config, data, save_pairs, grid):
    save_pairs([3, 4])
    for name in "ab":
        planes = np.stack([grid(5).astype(np.uint8) + i for i in range(2)])
        tifffile.imwrite(
            data / "images" / f"{name}.tif",
            planes,
            imagej=True,
            metadata={"axes": "CYX"},
        )
    assert scanned(config).notes == (
        f"{data / 'images' / 'a.tif'} and 1 more: 2 channels, using channel 0 (choose "
        "with data.channel or channel in beads.toml)",
    )


@pytest.mark.parametrize(
    ("field", "toml", "asked_with"),
    [(3, None, "data.channel"), (3, 4, "data.channel"), (None, 3, "channel in")],
)
def test_a_wrong_channel_names_what_asked_for_it(
    config, data, save, picture, grid, field, toml, asked_with
):
    file = save("images/a.tif", picture(grid(2)))
    config.data.channel = field
    if toml is not None:
        (data / "beads.toml").write_text(f"channel = {toml}\n")
    (problem,) = scanned(config).problems
    assert problem.startswith(f"{file}: there is no channel 3 in 1: give 0 with ")
    assert f"give 0 with {asked_with}" in problem


# What cannot be trained on


def test_no_such_folder(config, data):
    assert refusal(config) == f"{data}: no such folder: give one that holds images/"


def test_an_empty_folder(config, data):
    data.mkdir()
    assert refusal(config) == (
        f"{data}: no images/ in it (the folder is empty): put the images in "
        f"{data / 'images'} and their masks in {data / 'masks'}"
    )


def test_images_in_the_folder_itself(config, data, save, grid, picture):
    save("a.tif", picture(grid(3)))
    save("b.tif", picture(grid(3)))
    assert refusal(config) == (
        f"{data}: 2 images lie in the folder itself: move them to {data / 'images'} "
        f"and their masks to {data / 'masks'}"
    )


def test_no_image_in_images(config, data):
    (data / "images").mkdir(parents=True)
    assert refusal(config) == (
        f"{data / 'images'}: no image in it: put {kinds_in_words()} files there"
    )


def test_no_mask_at_all(config, data, save_pairs):
    save_pairs([3, 4])
    shutil.rmtree(data / "masks")
    assert refusal(config, labels=True) == (
        f"{data}: no image has a mask: put label images of the same names into masks/"
    )


def test_only_points(config, data, save, save_pairs):
    save_pairs([3, 4])
    shutil.rmtree(data / "masks")
    save("points/a.tif", np.eye(96, dtype=np.uint8))
    assert refusal(config, labels=True) == (
        f"{data}: no masks, and points too few to tell how large the beads are: give "
        "their diameter in px with --config.data.point_diameter"
    )
    config.data.point_diameter = 8.0
    assert [sample.disc for sample in scanned(config).samples] == [8.0, None]


def test_a_diameter_of_points_that_makes_no_disc(config, save_pairs):
    save_pairs([3, 4])
    config.data.point_diameter = 0.5
    assert refusal(config) == "data.point_diameter = 0.5: give 2 px or more"


def test_all_masks_empty(config, data, save_pairs):
    save_pairs([0, 0])
    assert refusal(config, labels=True) == (
        f"{data}: all masks are empty: label some beads (values above 0)"
    )


def test_one_image_only(config, data, save_pairs):
    save_pairs([3])
    assert refusal(config, labels=True) == (
        f"{data}: only one image has a mask: training needs two, one of them for "
        "validation"
    )


def test_the_first_problem_is_said_where_nothing_is_left(config, data, save_pairs):
    save_pairs([3])
    (data / "images" / "a.tif").write_bytes(b"")
    line = refusal(config, labels=True)
    assert line.startswith(
        f"{data}: none of its images can be read (problems: 1, the first: "
        f"{data / 'images' / 'a.tif'}: the file is empty (0 bytes)"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "pixelsize = 1",
            "unknown key 'pixelsize' (known: channel, classes, completeness, group, "
            "pixel_size)",
        ),
        ("pixel_size = -1", "pixel_size must be a number of um above 0"),
        ("channel = 1.5", "channel must be a whole number from 0"),
        (
            "completeness = 80",
            "completeness must be a share above 0 and at most 1, or a table of them",
        ),
        ("group = 'x'", "group must be a table from file names to group names"),
    ],
)
def test_a_wrong_beads_toml_is_refused(config, data, save_pairs, text, words):
    save_pairs([3, 4])
    (data / "beads.toml").write_text(text)
    assert refusal(config) == f"{data / 'beads.toml'}: {words}"


def test_a_pattern_without_group_is_refused(config, save_pairs):
    save_pairs([3, 4])
    config.data.group_pattern = "plate"
    assert refusal(config) == (
        "data.group_pattern 'plate' has no group: put the part of the file name that "
        "files share in parentheses"
    )


@pytest.mark.parametrize("written", ['{"decisions": 1}', "{", "[]", None])
def test_masks_that_are_older_than_the_decisions_on_them_are_said(
    config, data, save_pairs, written
):
    save_pairs([3, 4])
    for kind in ("decisions", "provenance"):
        (data / kind).mkdir()
    (data / "decisions" / "a.jsonl").write_text('{"do": "undo"}\n{"do": "redo"}\n')
    (data / "decisions" / "b.jsonl").write_text('{"do": "undo"}\n')
    (data / "provenance" / "b.json").write_text('{"decisions": 1}')
    if written:
        (data / "provenance" / "a.json").write_text(written)
    notes = scanned(config).notes
    assert [n for n in notes if "review" in n] == [
        f"{data / 'masks' / 'a'}: older than the decisions of a review that was "
        f"killed: run beadseg review {data} and end it, before you train on them"
    ]
