"""An image of 64 x 80 px with files of labels for it."""

from collections.abc import Callable

import numpy as np
import pytest

from beadseg.data.facts import Task

SHAPE = (64, 80)


@pytest.fixture
def task(save, picture, tmp_path) -> Callable[..., Task]:
    """Writes a file of outlines or points beside its image: `task("a.csv", text)`."""
    image = save("images/a.tif", picture(np.zeros(SHAPE, np.int32)))

    def make(name: str, content: bytes | str = b"", kind="masks") -> Task:
        path = tmp_path / "data" / kind / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return Task(path, kind, None, "pages", image)

    return make
