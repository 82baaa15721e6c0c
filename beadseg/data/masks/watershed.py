"""The hills of a height map, whole or block by block: the same labels either way.

Each pixel belongs to the hill whose top it comes to by going on to the highest of its
neighbours; of equal ones the later is higher. Hills that a saddle joins not far below
the lower top are one (Chazal et al. 2013, persistence-based clustering): a watershed
from h-maxima, but with no flood, so that blocks can be done one by one. A block leaves
labels of its own in the result, and tables of its hills and of the pairs that meet; at
the end the tables are put together and the labels replaced.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components

from beadseg.threads import ordered_map

Read = Callable[[slice, slice], tuple[np.ndarray, np.ndarray]]

# Half of the eight neighbours: every pair of pixels is met once.
_LATER = ((0, 1), (1, 0), (1, 1), (1, -1))
_RING_HILL, _RING_BACKGROUND = -1, -2  # of other blocks


def watershed(
    height: np.ndarray,
    mask: np.ndarray,
    prominence: float,
    min_area: int = 0,
    fill: bool = False,
    cut: int = 1,
) -> np.ndarray:
    """Labels of the hills: i32[H, W], 0 outside the mask, 1..N in the order of rows.

    Args:
      height: f32[H, W], 0 or more.
      mask: bool[H, W]; neighbours are eight.
      prominence: how far a hill's top is above the saddle to a higher one, at least.
      min_area: px; smaller ones join the neighbour of the highest saddle; without
        a neighbour they are no hills.
      fill: background with one hill around it becomes that hill's.
      cut: how often the area of a hill at the map's border counts: it goes on there.
    """
    labels = np.zeros(mask.shape, np.int32)
    watershed_blockwise(
        lambda rows, columns: (height[rows, columns], mask[rows, columns]),
        labels,
        prominence,
        min_area,
        fill,
        cut,
    )
    return labels


def watershed_blockwise(
    read: Read,
    labels: np.ndarray,
    prominence: float,
    min_area: int = 0,
    fill: bool = False,
    cut: int = 1,
    block: int = 1024,
) -> int:
    """`watershed` of a map of any size: the same labels, whatever the block.

    Args:
      read: height and mask of a window, of the same numbers in whichever window a
        pixel is. Windows are a pixel larger than blocks, and cut at the map's border;
        several are read at once, on threads.
      labels: i32[H, W], is filled: an array, or a memory map.
      prominence, min_area, fill, cut: as for `watershed`.
      block: side in px.

    Returns:
      The number of hills.
    """
    parts, shift = [], 0
    windows = blocks(labels.shape, block)
    for rows, columns, regions, part in ordered_map(
        lambda window: (*window, *_part(read, labels.shape, *window, fill)), windows
    ):
        labels[rows, columns] = np.where(regions > 0, regions + shift, 0)
        parts.append(_shifted(part, shift))
        shift += len(part.area)
    table = _Part(*(np.concatenate(c) for c in zip(*parts, strict=True)))
    final, count = _join(table, labels, prominence, min_area, cut)
    for rows, columns in blocks(labels.shape, block):
        labels[rows, columns] = final[labels[rows, columns]]
    return count


def _shifted(part: "_Part", by: int) -> "_Part":
    """The part with other numbers for its regions."""
    other = np.where(part.other > 0, part.other + by, part.other)
    return part._replace(one=part.one + by, other=other)


def blocks(shape: tuple[int, ...], side: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the blocks of an array, row by row."""
    for top in range(0, shape[0], side):
        for left in range(0, shape[1], side):
            yield (
                slice(top, min(top + side, shape[0])),
                slice(left, min(left + side, shape[1])),
            )


class _Part(NamedTuple):
    """Regions of a block, hills then backgrounds, and the pairs that meet.

    Pixels are numbered along the rows of the whole map.
    """

    area: np.ndarray  # i64[R]
    first: np.ndarray  # i64[R], first pixel
    top: np.ndarray  # i64[R], highest pixel; -1: background
    peak: np.ndarray  # f32[R], height there
    leaves: np.ndarray  # bool[R], top is in another block
    border: np.ndarray  # bool[R], background at the map's border
    one: np.ndarray  # i64[P], region number (from 1) of a pair
    other: np.ndarray  # i64[P], likewise; below 0: of the pixel -1 - other
    saddle: np.ndarray  # f32[P], of hills: the highest way from one to the other


def _part(
    read: Read, shape: tuple[int, ...], rows: slice, columns: slice, fill: bool
) -> tuple[np.ndarray, _Part]:
    """The regions of a block, i32[h, w] from 1, and what is known of them."""
    height, mask, known = _window(read, shape, rows, columns)
    width = height.shape[1]
    core = np.s_[1:-1, 1:-1]
    target = _tops(height, mask)
    hill = np.zeros(height.shape, bool)
    hill[core] = mask[core]
    of_hill = target[hill]
    is_top = np.zeros(height.size, bool)
    is_top[of_hill] = True
    tops = np.flatnonzero(is_top)
    number = np.zeros(height.size, np.int32)
    number[tops] = np.arange(1, len(tops) + 1)
    region = np.zeros(height.shape, np.int32)
    region[hill] = number[of_hill]
    backgrounds = 0
    if fill:
        background, backgrounds = ndimage.label(~mask[core])
        region[core] += np.where(background > 0, background + len(tops), 0).astype(
            np.int32
        )
    ring = known.copy()
    ring[core] = False
    region[ring & mask] = _RING_HILL
    if fill:
        region[ring & ~mask] = _RING_BACKGROUND

    def pixel(flat: np.ndarray) -> np.ndarray:
        y, x = np.divmod(flat, width)
        return (y + (rows.start - 1)) * shape[1] + x + (columns.start - 1)

    inner = region[core]
    count = len(tops) + backgrounds
    first = np.zeros(count + 1, np.int64)
    places = np.arange(height.size).reshape(height.shape)[core].ravel()
    first[inner.ravel()[::-1]] = places[::-1]  # the last one written is the first
    border = np.zeros(count + 1, bool)
    for side, at_border in (
        (inner[0], rows.start == 0),
        (inner[-1], rows.stop == shape[0]),
        (inner[:, 0], columns.start == 0),
        (inner[:, -1], columns.stop == shape[1]),
    ):
        border[side] |= at_border
    one, other, saddle = _pairs(region, height, len(tops), pixel)
    nothing = np.full(backgrounds, -1)
    part = _Part(
        area=np.bincount(inner.ravel(), minlength=count + 1)[1:],
        first=pixel(first[1:]),
        top=np.concatenate((pixel(tops), nothing)),
        peak=np.concatenate((height.ravel()[tops], np.zeros(backgrounds, np.float32))),
        leaves=np.concatenate((ring.ravel()[tops], nothing > 0)),
        border=border[1:],
        one=one,
        other=other,
        saddle=saddle,
    )
    return inner, part


def _window(read: Read, shape: tuple[int, ...], rows: slice, columns: slice):
    """Height and mask of a block and a ring around it, and where it is on the map."""
    spans = [
        slice(max(s.start - 1, 0), min(s.stop + 1, n))
        for s, n in zip((rows, columns), shape, strict=True)
    ]
    height, mask = read(*spans)
    beyond = [
        (int(s.start == 0), int(s.stop == n))
        for s, n in zip((rows, columns), shape, strict=True)
    ]
    height = np.pad(height.astype(np.float32, copy=False), beyond)
    known = np.pad(np.ones(mask.shape, bool), beyond)
    return height, np.pad(mask, beyond), known


def _tops(height: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Where each pixel comes to inside the window, as places in it: i64[H, W].

    A place in the ring is the end of a way: it goes on in another block.
    """
    # The bits of floats >= 0 sort as the floats do; below them, the place: one number
    # that orders all pixels and says where its own is.
    key = (height + np.float32(0)).view(np.uint32).astype(np.uint64) << np.uint64(32)
    key |= np.arange(1, height.size + 1, dtype=np.uint64).reshape(height.shape)
    key[~mask] = 0
    best = key.copy()
    np.maximum(best[1:], key[:-1], out=best[1:])
    np.maximum(best[:-1], key[1:], out=best[:-1])
    across = best.copy()
    np.maximum(across[:, 1:], best[:, :-1], out=across[:, 1:])
    np.maximum(across[:, :-1], best[:, 1:], out=across[:, :-1])
    target = (across & np.uint64(2**32 - 1)).astype(np.int64) - 1
    here = np.arange(height.size).reshape(height.shape)
    for side in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        target[side] = here[side]
    flat, places = target.ravel(), np.flatnonzero(mask)
    while True:
        further = flat[flat[places]]
        if (further == flat[places]).all():
            return target
        flat[places] = further


def _pairs(region, height, hills_here, pixel):
    """Pairs of regions that meet, once each, with the highest of their saddles."""
    width = region.shape[1]
    found = []
    for down, right in _LATER:
        # From the core to all around it; the ring's own pairs are other blocks'.
        a = region[1:-1, 1:-1]
        b = region[1 + down : region.shape[0] - 1 + down, 1 + right : width - 1 + right]
        meet = (a != b) & (b != 0) & (a != 0)
        if down and right:  # background meets along sides alone
            is_hill = (b == _RING_HILL) | ((b > 0) & (b <= hills_here))
            meet &= is_hill & (a <= hills_here)
        at = np.flatnonzero(meet)
        y, x = np.divmod(at, width - 2)
        p = (y + 1) * width + x + 1
        q = p + down * width + right
        saddle = np.minimum(height.ravel()[p], height.ravel()[q])
        one, other = region.ravel()[p].astype(np.int64), region.ravel()[q]
        other = np.where(other < 0, -1 - pixel(q), other.astype(np.int64))
        found.append((one, other, saddle))
    one, other, saddle = (np.concatenate(part) for part in zip(*found, strict=True))
    inside = other > 0
    low, high = np.minimum(one, other), np.maximum(one, other)
    low, high = np.where(inside, low, one), np.where(inside, high, other)
    return _once(low, high, saddle)


def _once(one, other, saddle):
    """Each pair once, with its highest saddle."""
    if not len(one):
        return one, other, saddle
    order = np.lexsort((other, one))
    one, other, saddle = one[order], other[order], saddle[order]
    new = np.ones(len(one), bool)
    new[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
    starts = np.flatnonzero(new)
    return one[starts], other[starts], np.maximum.reduceat(saddle, starts)


def _join(
    table: _Part, labels: np.ndarray, prominence: float, min_area: int, cut: int
) -> tuple[np.ndarray, int]:
    """The final label of every number in `labels`, and how many there are."""

    def number_at(pixels: np.ndarray) -> np.ndarray:
        return labels[np.divmod(pixels, labels.shape[1])].astype(np.int64)

    # Number 0 is no region. Ways that leave a block go on where they came to.
    root = np.arange(len(table.area) + 1)
    leaving = np.flatnonzero(table.leaves)
    root[leaving + 1] = number_at(table.top[leaving])
    while (root[root] != root).any():
        root = root[root]
    other = table.other.copy()
    other[other < 0] = number_at(-1 - other[other < 0])
    one, other = root[table.one], root[other]
    is_hill = np.concatenate(([False], table.top >= 0))
    # Nodes: whole hills in the order of their tops, then backgrounds; blocks do not
    # matter.
    own = np.flatnonzero(root[1:] == np.arange(1, len(root))) + 1
    top = table.top[own - 1]
    own = own[np.lexsort((top, top < 0))]
    hill_count = int(is_hill[own].sum())
    node = np.full(len(root), -1)
    node[own] = np.arange(len(own))
    node = node[root]
    one, other = node[one], node[other]
    apart = one != other
    low, high = np.minimum(one, other)[apart], np.maximum(one, other)[apart]
    low, high, saddle = _once(low, high, table.saddle[apart])
    area = np.bincount(node[1:], table.area, len(own)).astype(np.int64)
    first = np.full(len(own), np.iinfo(np.int64).max)
    np.minimum.at(first, node[1:], table.first)
    border = np.zeros(len(own), bool)
    border[node[1:][table.border]] = True
    area[border] *= cut

    between = high < hill_count
    peak = table.peak[own[:hill_count] - 1]
    joined = _merged(
        peak, area, low[between], high[between], saddle[between], prominence, min_area
    )
    merged = np.arange(len(own))
    merged[:hill_count] = joined
    size = np.bincount(merged, area, len(own))
    kept = np.zeros(len(own), bool)
    kept[:hill_count] = size[:hill_count] >= max(min_area, 1)
    background = ~kept[merged]
    owner = np.where(background, -1, merged)
    _fill(owner, merged[low], merged[high], border, merged)
    start = np.full(len(own), np.iinfo(np.int64).max)
    np.minimum.at(start, merged, first)
    names = np.flatnonzero(kept & (merged == np.arange(len(own))))
    names = names[np.argsort(start[names])]
    label = np.zeros(len(own) + 1, np.int32)  # the last: no owner
    label[names] = np.arange(1, len(names) + 1)
    final = np.zeros(len(root), np.int32)
    final[1:] = label[owner[node[1:]]]
    return final, len(names)


def _merged(peak, area, low, high, saddle, prominence, min_area):
    """For each hill the one that it is part of; tops in order are hills in order."""
    parent = list(range(len(peak)))
    tops, sizes = peak.tolist(), area[: len(peak)].tolist()

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def walk(may, wanted):
        """Joins what `wanted` says, from the highest saddle on."""
        ways = np.flatnonzero(may)
        ways = ways[np.lexsort((high[ways], low[ways], -saddle[ways]))]
        for i, j, at in zip(
            low[ways].tolist(), high[ways].tolist(), saddle[ways].tolist(), strict=True
        ):
            i, j = find(i), find(j)
            if i == j or not wanted(i, j, at):
                continue
            if (tops[i], i) > (tops[j], j):
                i, j = j, i
            parent[i] = j
            sizes[j] += sizes[i]

    # Tops only rise when hills join: no other way can ever be wanted.
    flat = np.minimum(peak[low], peak[high]) - saddle < prominence
    walk(flat, lambda i, j, at: min(tops[i], tops[j]) - at < prominence)
    if min_area > 1:
        small = np.array([sizes[find(i)] < min_area for i in range(len(peak))], bool)
        walk(
            small[low] | small[high],
            lambda i, j, at: min(sizes[i], sizes[j]) < min_area,
        )
    return np.array([find(i) for i in range(len(peak))], np.int64)


def _fill(owner, one, other, border, merged):
    """Gives background that meets one hill alone, and not the border, to that hill."""
    nodes = len(owner)
    background = owner < 0
    both = background[one] & background[other]
    graph = sparse.coo_matrix((both[both], (one[both], other[both])), (nodes, nodes))
    _, area = connected_components(graph, directed=False)
    area = area[merged]
    outside = np.zeros(nodes, bool)
    outside[area[border & background]] = True
    beside = background[one] != background[other]
    inner = area[np.where(background[one], one, other)[beside]]
    hill = owner[np.where(background[one], other, one)[beside]]
    least, most = np.full(nodes, nodes), np.full(nodes, -1)
    np.minimum.at(least, inner, hill)
    np.maximum.at(most, inner, hill)
    lone = (least == most) & ~outside
    chosen = background & lone[area]
    owner[chosen] = least[area[chosen]]
