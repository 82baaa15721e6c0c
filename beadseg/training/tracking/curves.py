"""A number of a run over its epochs, for pages and pictures."""

from collections.abc import Iterable, Mapping
from typing import Any

_FEW = 60  # points that are marked


def draw_curve(
    axis: Any,
    rows: Iterable[Mapping[str, Any]],
    field: str,
    times: float = 1.0,
    **style: Any,
) -> None:
    """Draws a field of the rows that have it, over whole epochs.

    Args:
      axis: of matplotlib.
      rows: of `metrics.jsonl`.
      field: of them.
      times: factor on its values.
      **style: for `axis.plot`.
    """
    points = [
        (row["epoch"], times * row[field])
        for row in rows
        if isinstance(row.get(field), int | float) and "epoch" in row
    ]
    if points:
        style.setdefault("marker", "." if len(points) < _FEW else None)
        axis.plot(*zip(*points, strict=True), **style)
    axis.xaxis.get_major_locator().set_params(integer=True)
