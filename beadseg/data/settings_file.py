"""`beads.toml`: what a person knows about a data set that its files do not say."""

import json
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path

from beadseg.errors import BeadsegError
from beadseg.files import read_file

FILE = "beads.toml"


@dataclass(frozen=True)
class BeadsToml:
    """The content of `beads.toml`. File names in its tables may end in .tif or not."""

    pixel_size: float | None = None  # um, instead of what the files say
    channel: int | None = None  # of several
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


def read_beads_toml(folder: Path, stem_of) -> BeadsToml:
    """Reads `beads.toml` of a folder; all defaults where there is none.

    Args:
      folder: of the data set.
      stem_of: from a file name as a person writes it to the stem of that file.

    Raises:
      BeadsegError: it is not TOML, or a key or a value is wrong.
    """
    path = folder / FILE
    try:
        content = tomllib.loads(read_file(path).decode())
    except FileNotFoundError:
        return BeadsToml()
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise BeadsegError(f"{path}: not valid TOML ({reason})") from None
    known = [f.name for f in fields(BeadsToml)]
    for key in content:
        if key not in known:
            raise BeadsegError(
                f"{path}: unknown key {key!r} (known: {', '.join(sorted(known))})"
            )
    for table in ("completeness", "group"):
        if isinstance(content.get(table), dict):
            content[table] = {stem_of(k): v for k, v in content[table].items()}
    settings = BeadsToml(**content)
    _check(settings, path)
    return settings


def format_beads_toml(settings: BeadsToml) -> str:
    """The text of a `beads.toml` that says so; empty where there is nothing to say."""
    lines = []
    for key in ("pixel_size", "channel"):
        if getattr(settings, key) is not None:
            lines.append(f"{key} = {getattr(settings, key)}")
    shares = settings.completeness
    if shares is not None and not isinstance(shares, dict):
        lines.append(f"completeness = {shares}")
    tables = {"completeness": shares, "group": settings.group}
    for name, table in tables.items():
        if isinstance(table, dict) and table:
            lines.append(f"[{name}]")
            lines += [f"{_quoted(k)} = {_quoted(v)}" for k, v in table.items()]
    return "".join(f"{line}\n" for line in lines)


def _quoted(value: str | float) -> str:
    return json.dumps(value, ensure_ascii=False)


def _check(settings: BeadsToml, path: Path) -> None:
    size, channel, groups = settings.pixel_size, settings.channel, settings.group
    shares = settings.completeness
    shares = shares.values() if isinstance(shares, dict) else [shares]
    wrong = None
    if size is not None and not (_is_number(size) and size > 0):
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
