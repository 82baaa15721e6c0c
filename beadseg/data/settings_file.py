"""`beads.toml`: what a person knows about a data set that its files do not say.

pixel_size = 0.65            # um, instead of what the files say
channel = 1                  # of several
classes = [1, 2]             # numbers of masks that are kinds of beads; or "none"; or
                             # classes of YOLO, COCO, labelme: their numbers or names
completeness = 0.8           # share of the beads that masks label, of all images

[completeness]               # or, in its place, by file
"a.tif" = 1.0

[group]                      # of files that stay on one side of the split
"a.tif" = "slide 1"

Every key may be left out.
"""

import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import tomlkit

from beadseg.data.images.units import is_pixel_size
from beadseg.errors import BeadsegError
from beadseg.files import read_file, write_whole, writing

FILE = "beads.toml"


@dataclass(frozen=True)
class BeadsToml:
    """The content of `beads.toml`. File names in its tables may end in .tif or not."""

    pixel_size: float | None = None  # um, instead of what the files say
    channel: int | None = None  # of several
    classes: tuple[int | str, ...] | str | None = None  # see `classes_of`
    completeness: float | dict[str, float] | None = None  # of all, or by file
    group: dict[str, str] = field(default_factory=dict)  # of files that go together

    def completeness_of(self, stem: str) -> float | None:
        if isinstance(self.completeness, dict):
            return self.completeness.get(stem)
        return self.completeness

    def named(self) -> set[str]:
        """Stems of the files that the tables speak of."""
        tables = (self.group, self.completeness)
        return {stem for t in tables if isinstance(t, dict) for stem in t}


def read_beads_toml(folder: Path, stem_of: Callable[[str], str]) -> BeadsToml:
    """Reads `beads.toml` of a folder; all defaults where there is none.

    Args:
      stem_of: from a file name as a person writes it to the stem of that file.

    Raises:
      BeadsegError: it is not TOML, or a key or a value is wrong.
    """
    path = folder / FILE
    content = _read(path)[1]
    known = [f.name for f in fields(BeadsToml)]
    for key in content:
        if key not in known:
            raise BeadsegError(
                f"{path}: unknown key {key!r} (known: {', '.join(sorted(known))})"
            )
    for table in ("completeness", "group"):
        if isinstance(content.get(table), dict):
            content[table] = {stem_of(k): v for k, v in content[table].items()}
    if "classes" in content:
        content["classes"] = classes_of(content["classes"], f"{path}: classes")
    settings = BeadsToml(**content)
    _check(settings, path)
    return settings


def classes_of(value: object, where: str) -> tuple[int | str, ...] | str:
    """What the numbers of masks are: "auto", "none" or those that are kinds of beads.

    "auto": what they look like, see `beadseg.data.masks.encodings`. "none": each number
    is one bead. Numbers, also as text ("1, 2"): the places of each are beads of that
    kind, and all other numbers are background. Numbers or names of classes of YOLO,
    COCO and labelme: objects of these are beads, all others background.

    Raises:
      BeadsegError: anything else; `where` it is said.
    """
    if value in ("auto", "none"):
        return str(value)
    parts = value.strip("()[] ").rstrip(",").split(",") if type(value) is str else value
    parts = [parts] if type(parts) is int else parts
    known = isinstance(parts, Collection) and all(type(p) in (int, str) for p in parts)
    texts = [str(part).strip("\"' ") for part in parts] if known else []
    if not texts or not all(text.isdecimal() or _is_name(text) for text in texts):
        raise BeadsegError(
            f'{where} = {value!r}: give "auto", "none", whole numbers, as [1, 2], or '
            "names of classes"
        )
    classes = {int(text) if text.isdecimal() else text for text in texts}
    return tuple(sorted(classes, key=lambda c: (type(c) is str, c)))


def _is_name(text: str) -> bool:
    """Whether it has a letter, and so is no number that went wrong."""
    return any(letter.isalpha() for letter in text)


def format_beads_toml(settings: BeadsToml) -> str:
    """The text of a `beads.toml` that says so; empty where there is nothing to say."""
    given = {k: v for k, v in asdict(settings).items() if v is not None and v != {}}
    return tomlkit.dumps(given)


def write_completeness(
    folder: Path,
    shares: Mapping[str, float | None],
    stem_of: Callable[[str], str],
    others: Collection[str] = (),
) -> None:
    """Puts completeness by file into `beads.toml`; all else stays as it was written.

    Args:
      shares: by stem; None takes back a 1 that was written before.
      stem_of: from a file name as a person writes it to the stem of that file.
      others: stems to which one number for all files goes on applying.

    Raises:
      BeadsegError: `beads.toml` is not valid or cannot be written; it is unchanged.
    """
    path = folder / FILE
    given = read_beads_toml(folder, stem_of).completeness
    text, before = _read(path)
    try:
        document = tomlkit.parse(text)
        _put(document, dict(shares), given, stem_of, others)
        after = tomlkit.dumps(document)
        changed = tomllib.loads(after) != before
    except ValueError as error:
        raise BeadsegError(
            f"{path}: completeness cannot be written into it ({error}): give it "
            "as [completeness]"
        ) from error
    if changed:
        with writing(path, None):
            write_whole(path, after)


def _put(document, shares: dict, given, stem_of, others: Collection[str]) -> None:
    """Puts shares into the table; where one number stood, a table takes its place."""
    if not isinstance(given, dict):
        if all(share is None for share in shares.values()):
            return
        old = document.pop("completeness", None)
        table = tomlkit.table()
        if old is not None and old.trivia.comment:
            table.comment(old.trivia.comment.lstrip("# "))
        document["completeness"] = table
        for stem in others if given is not None else ():
            document["completeness"][stem] = given
    table = document["completeness"]
    written = {stem_of(key): key for key in table}
    for stem, share in shares.items():
        key = written.get(stem, stem)
        if share is not None:
            table[key] = tomlkit.float_(f"{share:.3f}")
        elif table.get(key) == 1:
            del table[key]


def _read(path: Path) -> tuple[str, dict]:
    """The text of a `beads.toml` and what it says; nothing where there is none."""
    try:
        text = read_file(path).decode("utf-8-sig")
        return text, tomllib.loads(text)
    except FileNotFoundError:
        return "", {}
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise BeadsegError(
            f"{path}: not valid TOML ({reason}): put that right"
        ) from None


def _check(settings: BeadsToml, path: Path) -> None:
    size, channel, groups = settings.pixel_size, settings.channel, settings.group
    shares = settings.completeness
    shares = shares.values() if isinstance(shares, dict) else [shares]
    wrong = None
    if size is not None and not (_is_number(size) and is_pixel_size(size)):
        wrong = "pixel_size must be a number of um above 0"
    elif channel is not None and not (type(channel) is int and channel >= 0):
        wrong = "channel must be a whole number from 0"
    elif any(s is not None and not (_is_number(s) and 0 < s <= 1) for s in shares):
        wrong = "completeness must be a share above 0 and at most 1, or a table of them"
    elif not (
        isinstance(groups, dict) and all(isinstance(g, str) for g in groups.values())
    ):
        wrong = "group must be a table from file names to group names"
    if wrong:
        raise BeadsegError(f"{path}: {wrong}")


def _is_number(value: object) -> bool:
    return type(value) in (int, float)
