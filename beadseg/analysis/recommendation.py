"""`recommended.py`: a config written out, each choice with the number behind it."""

import importlib.util
import shlex
import textwrap
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from beadseg.analysis.overview import Overview
from beadseg.analysis.rules import recommend
from beadseg.config import ROOT, find_config
from beadseg.errors import BeadsegError

FILE = "recommended.py"


def write_config(overview: Overview, folder: Path, where: Path) -> str:
    """The text of a config that trains on `folder`; it will lie in `where`."""
    lines = [
        f'"""Settings for {_quoted(folder.name)}, by what `beadseg analyze` found.',
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


def recommended(overview: Overview, config: ConfigDict) -> ConfigDict:
    """A copy of `config` with the recommended fields set."""
    config = config.copy_and_resolve_references()
    with config.ignore_type():  # a copy forgets what may be a number or a word
        config.update_from_flattened_dict(
            {field: choice.value for field, (choice, _) in recommend(overview).items()}
        )
    return config


def load_config(where: str) -> ConfigDict:
    """The config of `NAME`, `FILE.py` or `FILE.py:ARGUMENT`.

    Raises:
      BeadsegError: there is no such file, or it gives no config.
    """
    path, _, argument = find_config(where).partition(":")
    spec = importlib.util.spec_from_file_location("beadseg_config", path)
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        made: Any = module.get_config(*[argument] if argument else [])
    except BeadsegError:
        raise
    except Exception as error:  # whatever a person's own file raises
        reason = " ".join(str(error).split())
        raise BeadsegError(f"--config={path} cannot be loaded: {reason}") from error
    if not isinstance(made, ConfigDict) or "data" not in made:
        raise BeadsegError(f"--config={path}: it gives no beadseg settings")
    return made


def base_config() -> ConfigDict:
    """The settings that everything derives from."""
    return load_config(str(ROOT / "configs" / "base.py"))


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
