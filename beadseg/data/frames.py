"""Which files are crops of one frame: by their names, or by edges that go on.

Crops of a frame share light, focus and beads cut in two: a network that was trained on
one knows its neighbour, so they must not be told apart as training and validation.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage, sparse

_SURE = 6.5  # standard deviations of Fisher's z, from which two edges are one
_ALIKE = 0.6  # correlation of them, at least
_PARTNERS = 2  # an edge that goes on in more files than that is a pattern
_BLOCK = 512  # edges compared with all others at a time

# Where a crop lay in its frame: r1_c6, row2_col3, x0_y512, tile_4, grid_2_3.
_NUMBER = r"[-_ ]?\d+"
_PLACE = re.compile(
    r"(?:^|(?<=[-_. ]))(?:(?:grid|tiles?|crops?|patch(?:es)?)[-_ ]?)?(?:"
    rf"r(?:ow)?{_NUMBER}[-_ ]?c(?:ol(?:umn)?)?{_NUMBER}"
    rf"|c(?:ol(?:umn)?)?{_NUMBER}[-_ ]?r(?:ow)?{_NUMBER}"
    rf"|x{_NUMBER}[-_ ]?y{_NUMBER}|y{_NUMBER}[-_ ]?x{_NUMBER}"
    rf"|(?<=grid_)\d+[-_ ]\d+|(?:grid|tile|crop|patch){_NUMBER}(?:{_NUMBER})?"
    r")(?=$|[-_. ])",
    re.IGNORECASE,
)


class Edges(NamedTuple):
    """What tells whether an image goes on in another."""

    lines: tuple[np.ndarray, ...]  # f32: top, bottom, left, right, without slow light
    sums: tuple[np.ndarray, np.ndarray]  # u64 of every row and column: equal, or not
    ends: tuple[np.uint64, ...]  # sums of the four lines; 0 of one that shows nothing


def frame_of(stem: str) -> str | None:
    """The name of the frame that a file of this name is a crop of; None: it is none."""
    found = _PLACE.search(stem)
    if not found:
        return None
    rest = (stem[: found.start()] + stem[found.end() :]).strip("-_. ")
    return rest or None


def edges_of(image: np.ndarray) -> Edges:
    """What to keep of an image [H, W] for `continued`."""
    values = np.where(np.isfinite(image), image, 0)
    borders = (values[0], values[-1], values[:, 0], values[:, -1])
    lines = []
    for border in borders:
        line = border.astype(np.float32)
        lines.append(line - ndimage.uniform_filter1d(line, max(9, len(line) // 8)))
    bits = np.ascontiguousarray(values)
    if bits.dtype.kind == "f":
        bits = bits.view(np.dtype(f"u{bits.dtype.itemsize}"))
    bits = bits.astype(np.uint64)
    rng = np.random.default_rng(0)
    factors = rng.integers(1, 2**63, max(image.shape), np.uint64)
    sums = (
        (bits * factors[: image.shape[1]]).sum(1, dtype=np.uint64),
        (bits * factors[: image.shape[0], None]).sum(0, dtype=np.uint64),
    )
    ends = (sums[0][0], sums[0][-1], sums[1][0], sums[1][-1])
    plain = [np.mean(border != np.median(border)) < 0.1 for border in borders]
    return Edges(
        tuple(lines),
        sums,
        tuple(
            np.uint64(0 if bare else end) for bare, end in zip(plain, ends, strict=True)
        ),
    )


def continued(edges: Sequence[Edges]) -> list[tuple[int, int]]:
    """Pairs of images of which one goes on where the other ends, or overlaps it."""
    if len(edges) < 2:
        return []
    return sorted(_overlapping(edges) | _abutting(edges))


def _overlapping(edges: Sequence[Edges]) -> set[tuple[int, int]]:
    """An edge of one is, to the last bit, a line of the other, at another place."""
    pairs = set()
    for axis in (0, 1):
        counts = [len(e.sums[axis]) for e in edges]
        sums = np.concatenate([e.sums[axis] for e in edges])
        owner = np.repeat(np.arange(len(edges)), counts)
        ends = np.concatenate([[(0, count - 1)] * count for count in counts])
        place = np.concatenate([np.arange(count) for count in counts])
        order = np.argsort(sums, kind="stable")
        sums, owner, place, ends = (v[order] for v in (sums, owner, place, ends))
        for i, e in enumerate(edges):
            for side, end in enumerate(e.ends[2 * axis : 2 * axis + 2]):
                first, last = (np.searchsorted(sums, end, w) for w in ("left", "right"))
                found = slice(first, last if end else first)
                elsewhere = place[found] != ends[found, side]
                others = set(owner[found][elsewhere].tolist()) - {i}
                if len(others) <= 2 * _PARTNERS:
                    pairs |= {(min(i, j), max(i, j)) for j in others}
    return pairs


def _abutting(edges: Sequence[Edges]) -> set[tuple[int, int]]:
    """The last line of one and the first of another look alike, as neighbours do."""
    pairs = set()
    for here, there in ((1, 0), (3, 2)):  # bottom and top, right and left
        lengths = np.array([len(e.lines[here]) for e in edges])
        for length in np.unique(lengths):
            members = np.flatnonzero(lengths == length)
            if len(members) < 2 or length < 32:
                continue
            last, first = (
                np.stack([edges[i].lines[side] for i in members])
                for side in (here, there)
            )
            for a, b in _alike(last, first):
                i, j = members[a], members[b]
                pairs.add((int(min(i, j)), int(max(i, j))))
    return pairs


def _alike(last: np.ndarray, first: np.ndarray) -> list[tuple[int, int]]:
    """Rows a of f32[N, L] and b of another that correlate beyond any chance."""
    count, length = last.shape
    last, first = (v - v.mean(1, keepdims=True) for v in (last, first))
    last, first = (
        v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-9)
        for v in (last, first)
    )
    # Neighbouring pixels are alike by themselves: fewer of them count.
    own = [np.clip((v[:, 1:] * v[:, :-1]).sum(1), 0, 0.999) for v in (last, first)]
    hits = np.zeros((count, count), bool)
    for start in range(0, count, _BLOCK):
        part = slice(start, start + _BLOCK)
        alike = np.clip(last[part] @ first.T, -0.9999, 0.9999)
        both = own[0][part, None] * own[1][None]
        free = length * (1 - both) / (1 + both)
        z = np.arctanh(alike) * np.sqrt(np.maximum(free - 3, 0))
        hits[part] = (z > _SURE) & (alike > _ALIKE)
    np.fill_diagonal(hits, False)
    hits[hits.sum(1) > _PARTNERS] = False
    hits[:, hits.sum(0) > _PARTNERS] = False
    return [(int(a), int(b)) for a, b in np.argwhere(hits)]


def joined(count: int, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """For each of `count` images the first of those that pairs join it with."""
    i, j = np.array(pairs, int).reshape(-1, 2).T
    links = sparse.coo_array((np.ones(len(i)), (i, j)), (count, count))
    _, group = sparse.csgraph.connected_components(links, directed=False)
    return np.unique(group, return_index=True)[1][group].tolist()
