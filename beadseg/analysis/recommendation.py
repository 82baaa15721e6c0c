"""`recommended.py`: a config written out, each choice with the number behind it."""

import shlex
import textwrap
from pathlib import Path

from beadseg.analysis.overview import Overview
from beadseg.analysis.rules import recommend

FILE = "recommended.py"
_BY = "by what `beadseg analyze` found."
_HEAD = 2000  # bytes of a config, that its first line is among


def write_config(overview: Overview, folder: Path, where: Path) -> str:
    """The text of a config that trains on `folder`; it will lie in `where`."""
    lines = [
        f'"""Settings for {_quoted(folder.name)}, {_BY}',
        "",
        f"  python -m beadseg.main --config={_quoted(shlex.quote(str(where / FILE)))}",
        "",
        "Change what you know better: each line says which number led to it.",
        '"""',
        "",
        "import sys",
        "from pathlib import Path",
        "",
        "import beadseg",
        "",
        "# configs/ lies beside the package.",
        "sys.path.append(str(Path(beadseg.__file__).resolve().parents[1]))",
        "",
        "from ml_collections import ConfigDict  # noqa: E402",
        "",
        "from configs import base  # noqa: E402",
        "",
        "",
        "def get_config() -> ConfigDict:",
        "    c = base.get_config()",
        f"    c.data.dir = {str(folder.resolve())!r}",
    ]
    for field, (choice, _) in recommend(overview).items():
        comment = textwrap.wrap(choice.because, 82)
        lines += [f"    # {line}" for line in comment]
        lines.append(f"    c.{field} = {choice.value!r}")
    return "\n".join([*lines, "    return c", ""])


def remove_config(where: Path) -> None:
    """Removes the config that an older analysis wrote there; nobody else's.

    Raises:
      OSError: it cannot be removed.
    """
    file = where / FILE
    try:
        ours = _BY in file.read_bytes()[:_HEAD].decode(errors="replace")
    except FileNotFoundError:
        return
    if ours:
        file.unlink()


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
