"""A user's text where something else would read a meaning into it; numbers as text.

Names of files and settings are text and nothing else: no formula of a plot or of a
spreadsheet, no word of a shell, no line break in a message. HTML is escaped by
`beadseg.page`, and words of a shell quoted by `shlex`.
"""

import hashlib
import os
import unicodedata
from collections.abc import Sequence
from typing import Any

_NAME_BYTES = 200  # of a name that is given endings and numbers; disks allow 255
_FORMULA = ("=", "+", "-", "@")
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # control, no character at all, line ends


def printable(text: object) -> str:
    """One line of valid Unicode: other bytes and control characters become %XX.

    A name of a file that is not UTF-8 is such text as no file or terminal takes.
    """
    return "".join(map(_escaped, str(text)))


def reason_of(error: BaseException, most: int = 200) -> str:
    """A line of what an error of any library says, or its name."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return reason if len(reason) <= most else f"{reason[:most]} ..."


def is_printable(text: str) -> bool:
    """Whether `printable` leaves it as it is."""
    return printable(text) == text


def plain_name(name: str) -> str:
    """What names have in common that people take for one.

    macOS stores é as two characters, and Windows knows no upper case.
    """
    return unicodedata.normalize("NFC", name).casefold()


def short_name(name: str) -> str:
    """A name of at most 200 bytes; a longer one is cut, and its hash added."""
    if len(os.fsencode(name)) <= _NAME_BYTES:
        return name
    digest = hashlib.blake2b(os.fsencode(name), digest_size=4).hexdigest()
    return f"{cut_name(name, _NAME_BYTES - 1 - len(digest))}~{digest}"


def cut_name(name: str, room: int) -> str:
    """The first characters of a name that take at most `room` bytes."""
    return os.fsencode(name)[:room].decode(errors="ignore")


def some_of(names: Sequence[object], most: int = 1) -> str:
    """The first of some names, and how many more there are."""
    more = len(names) - most
    said = ", ".join(map(printable, names[:most]))
    return said + (f" and {more:,} more" if more > 0 else "")


def for_plot(text: object) -> str:
    """Text that matplotlib draws as it is, not as a formula between dollar signs."""
    return printable(text).replace("$", r"\$")


def for_cell(value: Any) -> Any:
    """A cell of a CSV file, of one line, that no spreadsheet computes.

    Numbers stay numbers.
    """
    if not isinstance(value, str):
        return value
    value = printable(value)
    return f"'{value}" if value.startswith(_FORMULA) else value


def counted(count: float, one: str, many: str = "") -> str:
    """A count with its noun: "1 image", "1,200 images", "2 images are".

    Args:
      count: of things; one that is no whole number is rounded.
      one: the words after 1.
      many: the words after any other; "": `one` with an s.
    """
    number = round(count)
    if number == 1:
        return f"1 {one}"
    return f"{number:,} {many or one + 's'}"


def of_other_size(shape: Sequence[int], image: Sequence[int]) -> str:
    """Of something [H, W] and its image, as "512 x 512 px but its image 64 x 64 px"."""
    sizes = (f"{height} x {width} px" for height, width in (shape, image))
    return " but its image ".join(sizes)


def as_sentence(text: str) -> str:
    """A line of a message as a sentence: a capital first, a full stop last."""
    return f"{text[0].upper()}{text[1:]}."


def percent(share: float, digits: int = 0, sign: bool = False) -> str:
    """A share as "11 %", or with its sign "+1.5 %" for a difference."""
    return f"{100 * share:{'+' if sign else ''}.{digits}f} %"


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _UNPRINTABLE:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is not UTF-8
        return f"%{code - 0xDC00:02X}"
    return "".join(f"%{b:02X}" for b in character.encode(errors="surrogatepass"))
