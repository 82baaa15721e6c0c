"""Sets of real images are found by name, wherever they stand."""

import os

import pytest

from tests.real_data import VARIABLE, real_set


def test_set_is_found_in_any_folder_and_the_first_counts(tmp_path, monkeypatch):
    for folder in ("a/both", "b/both", "b/second"):
        (tmp_path / folder).mkdir(parents=True)
    folders = [tmp_path / "missing", tmp_path / "a", tmp_path / "b"]
    monkeypatch.setenv(VARIABLE, os.pathsep.join(map(str, folders)))
    assert real_set("second") == tmp_path / "b" / "second"
    assert real_set("both") == tmp_path / "a" / "both"


@pytest.mark.parametrize("folders", ["", os.pathsep, "elsewhere"])
def test_absent_set_is_named(tmp_path, monkeypatch, folders):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beads").mkdir()  # beside the process, in no folder that is listed
    monkeypatch.setenv(VARIABLE, folders)
    with pytest.raises(FileNotFoundError, match=f"'beads'.*{VARIABLE}") as caught:
        real_set("beads")
    assert ("elsewhere" in str(caught.value)) == (folders == "elsewhere")
