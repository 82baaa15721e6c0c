"""`beads.toml` is written into as a person would: only what changes changes."""

import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beadseg.data.folder import stem_of
from beadseg.data.settings_file import (
    BeadsToml,
    classes_of,
    format_beads_toml,
    read_beads_toml,
    write_completeness,
)
from beadseg.errors import BeadsegError

# As people write it, and what it says: with comments, dotted keys, inline tables, other
# orders, other line ends, a byte order mark, quotes of every kind.
WRITTEN = {
    '# mine\nchannel = 1\n\n[completeness]\na = 0.5\n\n[group]\nb = "c"\n': {"a": 0.5},
    "[ completeness ] # by hand\n# thin\n'a' = 0.5 # a guess\n": {"a": 0.5},
    '[completeness]\n[group]\nb = "c"\n': {},
    "completeness.a = 0.5 # x\nchannel = 0\ncompleteness.b = 1\n": {"a": 0.5, "b": 1},
    'channel = 0\ncompleteness = { a = 0.5 } # x\n[group]\nb = "c"': {"a": 0.5},
    "\"completeness\".'a.b' = 0.5\n[group]\n'[completeness]' = 'x = 1'\n": {"a.b": 0.5},
    "channel = 1\r\n[completeness]\r\na = 0.5\r\n\r\n": {"a": 0.5},
    "\ufeffpixel_size = 0.5\n[completeness]\na = 0.5": {"a": 0.5},
    "group = {b = '''\n[completeness]\n'''}\ncompleteness.a = 0.25": {"a": 0.25},
    "# only this": {},
    "": {},
}


@pytest.mark.parametrize("text", WRITTEN)
def test_only_completeness_changes(tmp_path, text):
    file = tmp_path / "beads.toml"
    file.write_bytes(text.encode())
    text = text.removeprefix("\ufeff")
    new = {"a": 0.125, 'd "e"': 1.0, "x.y": 0.125, "\u00e9\x7f": 0.1}
    write_completeness(tmp_path, new, stem_of)
    after = file.read_bytes().decode()
    table = tomllib.loads(text).get("completeness", {}) | new
    assert tomllib.loads(after) == tomllib.loads(text) | {"completeness": table}
    for line in text.splitlines():
        if "0." not in line:
            assert line in after.splitlines()
        assert line[line.find("#") :] in after or "#" not in line
    write_completeness(tmp_path, new, stem_of)
    assert file.read_bytes().decode() == after


def test_one_number_for_all_goes_on_for_the_others(tmp_path):
    file = tmp_path / "beads.toml"
    file.write_text("completeness = 0.8765 # as given\nchannel = 1\n")
    write_completeness(tmp_path, {"a": 1.0}, stem_of, ["a", "b"])
    assert tomllib.loads(file.read_text()) == {
        "channel": 1,
        "completeness": {"a": 1.0, "b": 0.8765},
    }
    assert "# as given" in file.read_text()


def test_a_name_with_its_ending_stays_the_same_entry(tmp_path):
    file = tmp_path / "beads.toml"
    file.write_text('[completeness]\n"a.ome.tif" = 0.5\n"b.PNG" = 0.5 # mine\n')
    write_completeness(tmp_path, {"a": 0.75, "b": 0.25, "c": 1.0}, stem_of)
    assert tomllib.loads(file.read_text())["completeness"] == {
        "a.ome.tif": 0.75,
        "b.PNG": 0.25,
        "c": 1.0,
    }


def test_what_was_complete_can_be_taken_back_and_nothing_else(tmp_path):
    file = tmp_path / "beads.toml"
    write_completeness(tmp_path, {"a": None}, stem_of)
    assert not file.exists()
    file.write_text("[completeness] # x\na = 1.0\nb = 0.5\n")
    write_completeness(tmp_path, {"a": None, "b": None, "c": None}, stem_of)
    assert file.read_text() == "[completeness] # x\nb = 0.5\n"
    file.write_text("completeness = 1\n")
    write_completeness(tmp_path, {"a": None}, stem_of, ["a"])
    assert file.read_text() == "completeness = 1\n"


@pytest.mark.parametrize(
    "text",
    [
        "[completeness]\na = 0.5\n[completeness]\nb = 0.5\n",
        "completeness = [0.5]\n",
        "classes = [-1]\n",
        "classes = '1.5'\n",
        "channel = \n",
        "x = " + 100_000 * "[",
        "[completeness]\na = 1.5\n",
        "\x00\x00",
    ],
    ids=range(8),
)
def test_what_is_no_beads_toml_is_one_line_and_stays_as_it_is(tmp_path, text):
    file = tmp_path / "beads.toml"
    file.write_text(text)
    with pytest.raises(BeadsegError, match="beads.toml: ") as raised:
        write_completeness(tmp_path, {"a": 1.0}, stem_of)
    assert "\n" not in str(raised.value)
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("value", "means"),
    [
        *(("auto", "auto"), ("none", "none"), ([2, 1, 2], (1, 2)), (3, (3,))),
        *(("(1, 2)", (1, 2)), ("1,2", (1, 2)), ("(4,)", (4,))),
        *(([0], (0,)), ("a, b", ("a", "b")), ("('bead', 0)", (0, "bead"))),
        *(
            (value, None)
            for value in ("", "1,,2", [], [1.5], None, True, [-1], "-1", {})
        ),
    ],
)
def test_classes_are_words_or_numbers(value, means):
    if means is not None:
        assert classes_of(value, "data.classes") == means
        return
    with pytest.raises(BeadsegError, match="^data.classes = ") as raised:
        classes_of(value, "data.classes")
    assert "\n" not in str(raised.value)


NAME = st.text(st.characters(codec="utf-8"), min_size=1)
SHARE = st.integers(1, 1000).map(lambda n: n / 1000)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.none() | SHARE | st.dictionaries(NAME, SHARE, min_size=1),
    st.dictionaries(NAME, st.text(st.characters(codec="utf-8"))),
    st.dictionaries(NAME, SHARE, min_size=1),
)
def test_any_names_are_written_and_read_again(tmp_path, told, group, shares):
    toml = BeadsToml(1e-05, classes=(1, 7), completeness=told, group=group)
    (tmp_path / "beads.toml").write_bytes(format_beads_toml(toml).encode())
    assert read_beads_toml(tmp_path, str) == toml
    write_completeness(tmp_path, shares, str)
    found = read_beads_toml(tmp_path, str)
    expected = (told if isinstance(told, dict) else {}) | shares
    assert found.completeness == expected and found.group == group
