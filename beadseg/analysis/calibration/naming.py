"""What the name of an image says: its dilution, its blank, its replicate."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from beadseg.data.annotations.tables import is_comment, is_empty, separated
from beadseg.data.annotations.text import read_text
from beadseg.data.images.reading import file_stem
from beadseg.errors import BeadsegError
from beadseg.quoting import counted, plain_name, some_of

BLANK = r"(?i)(?<![a-z])blank(?![a-z])"
_NUMBER = re.compile(r"(?:1\s*[:/]\s*)?(\d+(?:\.\d*)?(?:[eE]\+?\d+)?)\s*[xX×]?")
_SHOWN = 3  # names in a line


class Names(NamedTuple):
    """An image as a table of predictions names it."""

    image: str
    file: str  # path of its file; "" where the table has none


class Sample(NamedTuple):
    """What an image shows."""

    dilution: float | None  # 100 for 1:100; None for a blank
    replicate: str | None  # None: its frame stands for itself


Samples = list[Sample | None]  # of each image; None: it is left out


def compiled(option: str, pattern: str) -> re.Pattern:
    """A regular expression of the user.

    Raises:
      BeadsegError: it is none.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise BeadsegError(
            f"{option} {pattern!r}: is no regular expression ({error}): give one such "
            r"as '^(\d+)x_'"
        ) from None


def dilution_of(text: str) -> float | None:
    """The dilution that a text says: 100 for "100", "100x", "1:100" and "1/100".

    None where it says none, or one below 1.
    """
    said = _NUMBER.fullmatch(text.strip())
    value = float(said[1]) if said else 0.0
    return value if 1 <= value < float("inf") else None


def by_pattern(
    images: Sequence[Names],
    pattern: str,
    blank: str = BLANK,
    replicate: str | None = None,
) -> Samples:
    """Reads dilutions out of the names of images.

    Args:
      images: whose names are searched. Where no name matches, their paths are: a folder
        may be named by the dilution.
      pattern: its group "dilution", first group or, without groups, whole match is the
        dilution.
      blank: what matches it is a blank, whatever else its name says.
      replicate: its first group or whole match names the replicate.

    Raises:
      BeadsegError: a pattern is wrong, matches nothing, or gives no number.
    """
    search = compiled("--dilution", pattern)
    if search.groups and "dilution" not in search.groupindex and search.groups > 1:
        raise BeadsegError(
            f"--dilution {pattern!r}: has {search.groups} groups: name the one of the "
            r"dilution, as in (?P<dilution>\d+), or write others as (?:...)"
        )
    of_blank = compiled("--blank", blank)
    of_replicate = None if replicate is None else compiled("--replicate", replicate)
    texts = [image.image for image in images]
    if not any(map(search.search, texts)) and any(
        search.search(image.file) for image in images
    ):
        texts = [image.file or image.image for image in images]
    samples: Samples = []
    for image, text in zip(images, texts, strict=True):
        of = None
        if of_replicate and (found := of_replicate.search(text)):
            of = found[1] if of_replicate.groups else found[0]
        if of_blank.search(text):
            samples.append(Sample(None, of))
        elif match := search.search(text):
            samples.append(Sample(_matched(search, match, pattern, image.image), of))
        else:
            samples.append(None)
    if not any(sample and sample.dilution for sample in samples):
        raise BeadsegError(
            f"--dilution {pattern!r}: matches no image name, such as {some(images)}: "
            r"give one that does, such as '^(\d+)x_' for 100x_1, or a table image,"
            "dilution"
        )
    if blank != BLANK and not any(s and s.dilution is None for s in samples):
        raise BeadsegError(f"--blank {blank!r}: matches no image name")
    if of_replicate and not any(sample and sample.replicate for sample in samples):
        raise BeadsegError(f"--replicate {replicate!r}: matches no image name")
    return samples


def _matched(search: re.Pattern, match: re.Match, pattern: str, image: str) -> float:
    which = "dilution" if "dilution" in search.groupindex else min(search.groups, 1)
    text = match[which] or ""
    value = dilution_of(text)
    if value is None:
        raise BeadsegError(
            f"--dilution {pattern!r}: finds {text!r} in {image}, which is no dilution: "
            "it shall be a number of 1 or more, such as 100 for 1:100"
        )
    return value


def by_table(images: Sequence[Names], file: Path) -> Samples:
    """Reads dilutions from a table: image, dilution, and the replicate if there is one.

    The first column names an image, or its file with or without an ending; the second
    is a dilution or "blank", or empty: then the image is left out. A first row that
    says none of these is a header, and lines before it that begin with # are comments.

    Raises:
      BeadsegError: the table cannot be read, says no dilution, or names no image.
    """
    said: dict[str, Sample] = {}
    rows = _rows(file)
    for number, row in rows:
        name, text, *more = (*row, "") if len(row) == 2 else row
        if is_empty(text):
            continue
        sample = _sample(text, more[0] or None)
        if sample is None:
            if number == rows[0][0]:
                continue
            raise BeadsegError(
                f"{file}: line {number}: {text!r} is no dilution: give a number of 1 "
                'or more, such as 100 for 1:100, or "blank"'
            )
        if said.setdefault(name, sample) != sample:
            raise BeadsegError(
                f"{file}: line {number}: {name} stands there twice, with different "
                "dilutions: give one"
            )
    alike: dict[str, Sample | None] = {}
    for name, sample in said.items():
        other = alike.setdefault(plain_name(name), sample)
        alike[plain_name(name)] = sample if other == sample else None
    samples = [_look_up(image, said, alike) for image in images]
    if not any(sample and sample.dilution for sample in samples):
        raise BeadsegError(
            f"{file}: gives no image a dilution: the first column shall hold names "
            f"such as {some(images)}"
        )
    return samples


def _rows(file: Path) -> list[tuple[int, list[str]]]:
    """Lines of two or three cells; `;` or tabs separate where the first has them."""
    try:
        text = read_text(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BeadsegError(
            f"{file}: cannot be read ({reason}): give a table image,dilution"
        ) from None
    every = text.splitlines()
    told, mark = separated(every)
    before = len(every) - len(told)
    rows = []
    lines = csv.reader(told, delimiter=mark or ",")
    for row in lines:
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if not rows and is_comment(cells[0]) and not any(map(dilution_of, cells[1:2])):
            continue
        number = lines.line_num + before
        if len(cells) not in (2, 3):
            raise BeadsegError(
                f"{file}: line {number}: has {counted(len(cells), 'column')}: "
                "give two, image,dilution, or three, image,dilution,replicate"
            )
        if mark != ",":
            cells[1] = cells[1].replace(",", ".")
        rows.append((number, cells))
    return rows


def _sample(text: str, replicate: str | None) -> Sample | None:
    if text.lower() == "blank":
        return Sample(None, replicate)
    value = dilution_of(text)
    return None if value is None else Sample(value, replicate)


def _look_up(
    image: Names, said: dict[str, Sample], alike: dict[str, Sample | None]
) -> Sample | None:
    """By the name itself, else by one that people take for it."""
    path = Path(image.file)
    keys = (image.image, image.file, path.name, file_stem(path) if image.file else "")
    exact = next((said[key] for key in keys if key in said), None)
    plain = map(plain_name, keys)
    return exact or next((alike[key] for key in plain if alike.get(key)), None)


def some(images: Sequence[Names]) -> str:
    """The first names, to be told."""
    return some_of([image.image for image in images], _SHOWN)
