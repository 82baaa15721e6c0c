import numpy as np
import pytest

from beadseg.data.masks.beads import contrasts, faintest_bead, is_faint, number_beads


@pytest.mark.parametrize("top", [1, 5, 300, 2**40])
def test_numbers_are_the_ranks_of_the_labels_whatever_their_size(top):
    rng = np.random.default_rng(top)
    labels = rng.integers(-1, top + 1, (40, 50))
    ids, index = number_beads(labels)
    beads = np.unique(labels[labels > 0])
    assert index.dtype == np.int32
    assert index.max() == len(ids) == len(beads)
    for number, label in enumerate(beads, 1):
        np.testing.assert_array_equal(index == number, labels == label)


def test_a_map_without_beads_has_no_numbers():
    for labels in (np.zeros((3, 4), int), np.full((3, 4), -1)):
        ids, index = number_beads(labels)
        assert not len(ids) and not index.any()


@pytest.mark.parametrize("light", [20.0, 3000.0])
def test_relative_contrast_does_not_depend_on_the_exposure(light):
    labels = np.zeros((120, 120), int)
    labels[10:20, 10:20], labels[80:90, 80:90] = 3, 7
    image = light * np.select([labels == 3, labels == 7], [0.6, 1.5], 1.0)
    expected = (0.6 - 1) / (0.6 + 1), (1.5 - 1) / (1.5 + 1)
    assert contrasts(labels, image, relative=True) == pytest.approx(expected)
    assert contrasts(labels, image) == pytest.approx((-0.4 * light, 0.5 * light))


def test_the_faintest_bead_is_known_of_many_that_are_alike():
    rng = np.random.default_rng(0)
    alike = -rng.uniform(0.1, 0.2, 1000)
    assert faintest_bead(alike) == pytest.approx(-0.105, abs=0.002)
    assert faintest_bead(alike[:100]) is None
    several_microscopes = np.concatenate([alike, -alike])
    assert faintest_bead(several_microscopes) is None
    assert faintest_bead(np.concatenate([alike, 5 * alike])) is None


def test_specks_are_faint_unless_the_whole_image_is():
    beads, specks = np.full(30, 80.0), np.full(12, 95.0)
    mean = np.concatenate([beads, specks])

    def faint(mean, filled=1.0, around=100.0, noise=1.0):
        level, deviation = (np.full(len(mean), v) for v in (around, noise))
        return is_faint(mean, level, deviation, -0.1, filled)

    np.testing.assert_array_equal(faint(mean), mean > 90)
    assert faint(specks).all()  # no bead here
    fainter = np.full(42, 95.0)  # an image
    assert not faint(fainter).any()
    assert faint(fainter, noise=2.0).all()  # 2.5 deviations: crests of the noise
    assert not faint(mean, around=np.nan).any()
    small = np.where(mean > 90, 0.5, 1.0)  # specks of half a bead
    for level, is_one in ((88.0, False), (92.0, True)):  # -0.064, -0.042
        of = np.where(mean > 90, level, mean)
        assert faint(of)[30:].all() == is_one
        assert faint(of, small)[30:].all()
        assert not faint(of, small)[:30].any()
    many = np.concatenate([beads[:4], np.full(150, 98.0)])  # four beads, and grain
    np.testing.assert_array_equal(faint(many), many > 90)
