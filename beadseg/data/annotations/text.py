"""Text and JSON of files that other programs write."""

import codecs
import json
from pathlib import Path
from typing import Any

from beadseg.data.cache import once_a_file
from beadseg.files import read_file

LARGEST = 2**28  # bytes of one unpacked ROI, or of a text


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or as Windows and Excel write it.

    Raises:
      ValueError: it is too large.
      OSError: it cannot be read.
    """
    if path.stat().st_size > LARGEST:
        raise ValueError("it is too large")
    content = read_file(path)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


@once_a_file(2)
def read_content(path: Path) -> Any:
    """The content of a JSON file, which may be of many images: read once.

    Raises:
      ValueError: it is no JSON, or too large.
      OSError: it cannot be read.
    """
    text = read_text(path)
    if not text.strip():
        raise ValueError("the file is empty")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"it is no JSON, or cut short ({error}): export it again"
        ) from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
