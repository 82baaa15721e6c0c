import numpy as np
import pytest
from scipy import ndimage
from skimage.segmentation import expand_labels, find_boundaries

from beadseg.analysis.fingerprint import share_labelled
from beadseg.data.generated.damage import damage_labels
from beadseg.data.generated.render import GeneratedSettings, generate
from beadseg.partial import audit as auditing
from beadseg.partial.agreement import agree
from beadseg.partial.audit import audit, components, missingness, pooled
from beadseg.partial.proposals import compare

IMAGES = 4
SETTINGS = GeneratedSettings(
    size=160,
    modalities=("fluorescence",),
    beads=(30, 60),
    radius=(6, 9),
    artefacts=0.0,
    blurred_share=(0.4, 0.5),
    dim_share=(0.4, 0.5),
)


@pytest.fixture(scope="module")
def drawn():
    return [generate(SETTINGS, 11, index) for index in range(IMAGES)]


@pytest.fixture(scope="module", autouse=True)
def looked_at_once():
    """The estimate knows nothing of masks: once an image is enough."""
    look, seen = auditing.estimate, {}

    def estimate(image, settings=None):
        key = image.tobytes()
        if key not in seen:
            seen[key] = look(image)
        return seen[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auditing, "estimate", estimate)
        yield


def audits(drawn, kind, amount, with_model=True, erode=0):
    """Masks with beads left out, looked at with a model that sees every bead."""
    found = []
    for index, image in enumerate(drawn):
        rng = np.random.default_rng(index)
        labels = damage_labels(kind, amount, image.labels, image.beads, rng)
        labels = damage_labels("erode", erode, labels, image.beads, rng)
        truth = image.labels

        def predict(_, truth=truth):
            return truth, np.where(truth > 0, 0.98, 0.02), 0.5

        found.append(audit(image.image, labels, predict if with_model else None))
    return found


@pytest.mark.parametrize("left", [1.0, 0.8, 0.5, 0.2])
def test_completeness_is_found_with_a_model(drawn, left):
    found = audits(drawn, "drop_random", 1 - left)
    whole = pooled(found)
    assert whole.completeness == pytest.approx(left, abs=0.03)
    assert whole.low <= left + 1e-9 and whole.high >= left - 0.02


def test_completeness_is_found_without_a_model(drawn):
    for left in (1.0, 0.5):
        errors = [
            a.mask_free.completeness - a.labelled / len(image.beads)
            for a, image in zip(
                audits(drawn, "drop_random", 1 - left, False), drawn, strict=True
            )
        ]
        assert abs(np.mean(errors)) < 0.1


def test_verify_and_analyze_say_the_same_of_a_mask(drawn):
    rng = np.random.default_rng(0)
    for image in drawn:
        labels = damage_labels("drop_random", 0.5, image.labels, image.beads, rng)
        seen = auditing.estimate(image.image)
        share, _ = share_labelled(seen, agree(image.image, labels, seen), None)
        assert audit(image.image, labels).mask_free.completeness == pytest.approx(share)


def _depth(labels: np.ndarray) -> np.ndarray:
    """Of each pixel of a bead to its outline, px."""
    inside = (labels > 0) & ~find_boundaries(labels, mode="inner")
    return ndimage.distance_transform_edt(inside)


def draw_discs(centres, radius: float) -> np.ndarray:
    """i32[80, 80], numbered from 1."""
    labels = np.zeros((80, 80), np.int32)
    rows, columns = np.ogrid[:80, :80]
    for number, (y, x) in enumerate(centres, 1):
        labels[np.hypot(rows - y, columns - x) <= radius] = number
    return labels


@pytest.mark.parametrize("radius", [3, 9, 14])
@pytest.mark.parametrize("shift", [0, 3])
def test_marks_too_small_too_large_or_beside_their_beads_are_the_same_bead(
    radius, shift
):
    centres = [(18, 18), (18, 58), (58, 18)]
    found = draw_discs(centres, 10)
    manual = draw_discs([(y + shift, x) for y, x in centres[1:]], radius)
    compared = compare(manual, found)
    assert compared.labelled.tolist() == [False, True, True]
    assert compared.missing.tolist() == [True, False, False]
    assert compared.found.tolist() == [1, 2]


def test_beads_compare_in_any_numbering_and_not_on_unknown_pixels():
    found = 5 * draw_discs([(18, 18), (18, 58), (58, 18), (58, 58)], 10)
    manual = np.zeros_like(found)
    manual[found == 5], manual[found == 10] = 70000, -1  # labelled, and unknown
    # The third: two neighbours have 3/8 of it each, and much more beside it.
    manual[45:72, :17] = 1
    manual[45:72, 20:46] = 2
    compared = compare(manual, found)
    assert compared.labelled.tolist() == [True, False, False, False]
    assert compared.missing.tolist() == [False, False, False, True]
    assert compared.found.tolist() == [70000]


@pytest.mark.parametrize("kind", ["eroded", "dilated", "shifted"])
def test_beads_are_labelled_however_their_marks_are_drawn(drawn, kind):
    for image in drawn:
        marks = {
            "eroded": np.where(_depth(image.labels) > 2, image.labels, 0),
            "dilated": expand_labels(image.labels, 2),
            "shifted": ndimage.shift(image.labels, (2, 2), order=0),
        }[kind]
        left = len(np.unique(marks)) / len(np.unique(image.labels))  # of slivers none
        found = audit(image.image, marks).mask_free
        assert found.completeness == pytest.approx(left, abs=0.12)


@pytest.mark.parametrize("kind", ["random", "dim", "blurred", "crowded", "outside"])
@pytest.mark.parametrize("with_model", [True, False])
def test_the_kind_of_omission_is_named(drawn, kind, with_model):
    found = missingness(
        [a.seen for a in audits(drawn, f"drop_{kind}", 0.5, with_model)]
    )
    assert found.kind == {"outside": "region"}.get(kind, kind)
    for effect, chance in found.tests.values():
        assert -1 <= effect <= 1 and 0 <= chance <= 1


def test_beads_drawn_smaller_than_they_are_seen_are_not_of_a_kind(drawn):
    found = audits(drawn, "drop_random", 0.5, erode=2)
    assert missingness([a.seen for a in found]).kind == "random"


def test_beads_that_a_model_runs_together_are_counted_by_their_area():
    """Of 60 beads half stand alone, the others in threes that are taken as one."""
    truth, merged = np.zeros((2, 130, 520), np.int32)
    rows, columns = np.ogrid[:130, :520]
    centres = [(20, 12 + 17 * i) for i in range(30)]
    centres += [
        (60 + 40 * (i // 5), 12 + 11 * t + 60 * (i % 5))
        for i in range(10)
        for t in range(3)
    ]
    for number, (y, x) in enumerate(centres, 1):
        disc = (rows - y) ** 2 + (columns - x) ** 2 <= 25
        truth[disc] = number
        merged[disc] = number if number <= 30 else 31 + (number - 31) // 3
    image = 100.0 * (truth > 0)
    rng, errors = np.random.default_rng(0), []
    for _ in range(20):
        kept = 1 + rng.permutation(60)[:30]
        manual = np.where(np.isin(truth, kept), truth, 0)
        model = merged, np.where(truth > 0, 0.98, 0.02), 0.5
        found = audit(image, manual, lambda _, model=model: model)
        errors.append(found.model.completeness - 0.5)
    assert abs(np.mean(errors)) < 0.03
    assert np.abs(errors).max() < 0.1


def test_complete_masks_say_nothing_about_a_kind(drawn):
    found = audits(drawn, "none", 0.0)
    assert missingness([a.seen for a in found]).kind == "unknown"
    assert all(a.best.completeness > 0.97 for a in found)


def test_a_mask_without_beads_is_incomplete_where_beads_are_seen(drawn):
    found = audits(drawn[:1], "drop_random", 1.0)[0]
    assert found.labelled == 0 and found.best.completeness == 0.0


def test_components_are_parts_above_a_threshold():
    image = np.zeros((40, 40))
    image[5:10, 5:10] = image[20:30, 20:30] = 9
    assert components(image) == 2
    assert components(np.ones((8, 8))) == 0
