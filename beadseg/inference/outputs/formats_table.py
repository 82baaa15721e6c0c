"""What is read and what is written, from the tables that do it."""

from pathlib import PurePosixPath
from typing import NamedTuple

from beadseg.data.annotations import readers as labels
from beadseg.data.images import readers as images
from beadseg.inference.outputs.kinds import OUTPUTS, TABLES


class FormatRow(NamedTuple):
    """A kind of file."""

    use: str  # "image in", "labels in", "image out" or "table out"
    kind: str
    endings: tuple[str, ...]
    library: str  # that reads or writes it; "": none beside Python's own
    test: str  # the file of its tests

    @property
    def tested_in(self) -> str:
        """The name of that file, which no other of the tests has."""
        return PurePosixPath(self.test).name


def format_rows() -> list[FormatRow]:
    """Every kind of file that is read or written."""
    return [
        *(
            FormatRow("image in", name, row.endings, row.library, row.test)
            for name, row in images.READERS.items()
        ),
        FormatRow(
            "labels in",
            "label image, masks of Cellpose (NAME_cp_masks)",
            (".tif", ".png", ".bmp"),
            "tifffile",
            labels.TEST,
        ),
        *(
            FormatRow("labels in", row.programs, (ending,), row.library, row.test)
            for ending, row in labels.READERS.items()
        ),
        *(
            FormatRow("image out", kind, (row.ending,), row.library, row.test)
            for kind, row in OUTPUTS.items()
        ),
        *(
            FormatRow("table out", kind, (f".{kind}",), row.library, row.test)
            for kind, row in TABLES.items()
        ),
    ]
