"""How the browser learns the address of the page, which nobody else may know."""

import html
import os
import tempfile
import webbrowser
from pathlib import Path

_PREFIX, _SUFFIX = ".review-", ".html"


def open_browser(address: str, folder: Path) -> Path:
    """Opens a page that leads to the address, and returns it: to be removed at last.

    All users of a machine see the command lines of all programs, so that the address
    with its token is in none. The page lies in the folder under review, where also
    browsers in a sandbox may read, if the disk there can keep it from others.
    """
    for old in folder.glob(f"{_PREFIX}*{_SUFFIX}"):  # of a review that was killed
        old.unlink(missing_ok=True)
    shown = html.escape(address)
    text = (
        '<!doctype html><meta charset="utf-8"><title>beadseg review</title>'
        f'<meta http-equiv="refresh" content="0;url={shown}">'
        f'<a href="{shown}">beadseg review</a>\n'
    )
    page = _private_file(folder) or _private_file(None)
    page.write_text(text, encoding="utf-8")
    webbrowser.open(page.as_uri())
    return page


def _private_file(folder: Path | None) -> Path | None:
    """A new file that only its owner reads; None where `folder` cannot hold one."""
    try:
        descriptor, name = tempfile.mkstemp(
            _SUFFIX, _PREFIX, folder and folder.resolve()
        )
    except OSError:
        if folder is None:
            raise
        return None
    os.close(descriptor)
    page = Path(name)
    if folder is not None and page.stat().st_mode & 0o077:
        page.unlink()
        return None
    return page
