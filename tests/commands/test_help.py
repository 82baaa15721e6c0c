"""`beadseg help`: what it tells is what the code does."""

import subprocess
import sys

import pytest

from beadseg import cli
from beadseg.commands.help import TOPICS
from beadseg.data.settings_file import BeadsToml
from beadseg.inference.outputs.columns import COLUMNS


def told(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(["help", *arguments])
    assert not ended.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_told_within_a_terminal(topic, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = told(capsys, topic).splitlines()
    assert len(lines) > 5
    assert max(map(len, lines)) <= 92  # docstrings have lines of 88


def test_topics_hold_what_the_code_has(capsys):
    assert all(name.split("*")[0] in told(capsys, "columns") for name in COLUMNS)
    assert all(
        f"{key} = " in told(capsys, "data") or f"[{key}]" in told(capsys, "data")
        for key in BeadsToml.__dataclass_fields__
    )


def test_formats_say_what_outlines_leave_out(capsys):
    said = told(capsys, "formats")
    assert "holes are filled" in said and "longest outline alone" in said


def test_without_a_topic_all_are_named(capsys):
    listed = told(capsys)
    assert all(f"  {name}" in listed for name in TOPICS)


def test_one_page_holds_all(tmp_path, capsys):
    file = tmp_path / "help.html"
    told(capsys, "--html", str(file))
    page = file.read_text()
    assert all(topic.about in page for topic in TOPICS.values())
    assert "NAME.tif" in page and "http" not in page.replace("http://www.w3.org", "")


def test_an_unknown_topic_is_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["help", "colums"])
    assert ended.value.code == 2
    assert "columns" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("predict x --thresold 0.5", ("did you mean --threshold?", "beadseg predict")),
        ("predict x --zzz=3", ("no such option as --zzz (", "beadseg predict --help")),
        ("analyze a b", ("unexpected argument 'b'", "beadseg analyze --help")),
        ("predict x --threshold foo", ("neither auto nor a number", "beadseg predict")),
        ("predictt x", ("'predict'", "beadseg --help")),
    ],
)
def test_wrong_use_of_a_command_is_one_line(arguments, parts, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments.split())
    line = capsys.readouterr().err
    assert ended.value.code == 2 and line.startswith("error: ")
    assert line.count("\n") == 1 and all(part in line for part in parts)


def test_whoever_stops_reading_gets_no_traceback():
    command = f"{sys.executable} -m beadseg help columns | head -1"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert ran.stdout.count("\n") == 1
    assert ran.stderr in ("", "stopped: nobody reads the output any more\n")
