"""Training and validation: stratified by density, nothing of a source on both sides."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from beadseg.data.tiles import RecordInfo
from beadseg.errors import BeadsegError

FEWEST = 4  # units from which two validate
COVERING = 0.25  # of the units, at most, to validate on every density
# Units with several images, up to which their beads decide: a frame may hold half of
# all beads, or so few that every score on it is perfect.
FEW = 8


class Stratum(NamedTuple):
    """How many units and images of one density lie on each side."""

    name: str  # "20-49 beads"
    train_units: int
    train_images: int
    validation_units: int
    validation_images: int


class Split(NamedTuple):
    """Numbers of records on each side; records without a mask are on neither.

    A unit is all that must stay together: the tiles and pages of a file, the files of
    a group.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    strata: tuple[Stratum, ...]

    def as_json(self, records: Sequence[RecordInfo]) -> dict[str, Any]:
        """By names, which outlive the order of records."""
        return {
            "train": [records[i].name for i in self.train],
            "validation": [records[i].name for i in self.validation],
            "strata": [stratum._asdict() for stratum in self.strata],
        }


def from_json(stored: dict[str, Any], records: Sequence[RecordInfo]) -> Split:
    """The split that `Split.as_json` stored.

    Older ones name the pages of a file by number where they have a time or depth.

    Raises:
      BeadsegError: it is damaged, or a record of it is gone.
    """
    number = {_numbered(record): i for i, record in enumerate(records)}
    number |= {record.name: i for i, record in enumerate(records)}
    sides = []
    for side in ("train", "validation"):
        names = stored.get(side)
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise BeadsegError(f"the stored split is damaged: it has no {side}")
        gone = [name for name in names if name not in number]
        if gone:
            raise BeadsegError(
                f"{gone[0]} of the stored split is not in the data ({len(gone)} such): "
                "give the images that the split was made of"
            )
        sides.append(tuple(number[name] for name in names))
    try:
        strata = tuple(Stratum(**stratum) for stratum in stored["strata"])
    except (KeyError, TypeError):
        raise BeadsegError("the stored split is damaged: it has no strata") from None
    return Split(*sides, strata)


def _numbered(record: RecordInfo) -> str:
    tile = record.name.removeprefix(record.image)
    return f"{record.source}_p{record.page:03d}{tile}"


def split(
    records: Sequence[RecordInfo],
    fraction: float = 0.15,
    seed: int = 42,
    bins: Sequence[int] = (0, 20, 50, 100),
    named: Sequence[str] = (),
) -> Split:
    """Chooses validation units: of each density its share, the same on every machine.

    The order of records does not matter. A unit's density is the mean number of
    labelled beads in its images.

    Args:
      fraction: of the units, for validation; at least one is on each side, from four
        units on two, and more where they are of several densities. Of few units with
        several images each, those are chosen that hold about this share of the beads.
      bins: lower edges of the densities, beads per image.
      named: the groups that validate; none: they are chosen.

    Raises:
      BeadsegError: fewer than two units have masks, `fraction` is not in (0, 1), or
        what is named has no mask or leaves nothing to train on.
    """
    if not 0 < fraction < 1:
        raise BeadsegError(
            f"data.validation_fraction = {fraction}: give a share between 0 and 1"
        )
    units = defaultdict(list)
    for i, record in enumerate(records):
        if record.has_mask:
            units[record.group].append(i)
    if len(units) < 2:
        raise BeadsegError(
            f"{len(units)} image or group has a mask: training needs two, one of them "
            "for validation"
        )
    strata = defaultdict(list)
    for name, members in units.items():
        stratum = np.digitize(_beads(members, records).mean(), bins)
        strata[max(int(stratum) - 1, 0)].append(name)
    several = any(len({records[i].image for i in own}) > 1 for own in units.values())
    if named:
        chosen = _named(named, units)
    elif several and len(units) <= FEW:
        beads = {name: _beads(own, records).sum() for name, own in units.items()}
        chosen = _of_share(beads, fraction, seed)
    else:
        chosen = _drawn(strata, fraction, seed)
    table = []
    for stratum in sorted(strata):
        held = [name for name in strata[stratum] if name in chosen]
        kept = [name for name in strata[stratum] if name not in chosen]
        counts = []
        for names in (kept, held):
            images = {records[i].image for name in names for i in units[name]}
            counts += [len(names), len(images)]
        table.append(Stratum(_range(stratum, bins), *counts))
    sides = ([], [])
    for name, members in units.items():
        sides[name in chosen].extend(members)
    train, validation = (tuple(sorted(side)) for side in sides)
    return Split(train, validation, tuple(table))


def format_split(sides: Split) -> str:
    """A small table to print."""
    total = Stratum("all", *(sum(n) for n in list(zip(*sides.strata, strict=True))[1:]))
    rows = [("images by density", "train", "validation")]
    for stratum in (*sides.strata, total):
        counts = (stratum.train_images, stratum.validation_images)
        rows.append((stratum.name, *map(str, counts)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{name:<{widths[0]}}  {train:>{widths[1]}}  {validation:>{widths[2]}}"
        for name, train, validation in rows
    )


def _drawn(strata: dict[int, list[str]], fraction: float, seed: int) -> set[str]:
    wanted = _shares({s: len(names) for s, names in strata.items()}, fraction)
    chosen = set()
    for stratum, names in strata.items():
        chosen.update(sorted(names, key=lambda n: _rank(seed, n))[: wanted[stratum]])
    return chosen


def _of_share(beads: Mapping[str, int], fraction: float, seed: int) -> set[str]:
    """The units, one or from `FEWEST` on two, whose beads are nearest to a share."""
    wanted = fraction * max(sum(beads.values()), 1)
    order = sorted(beads, key=lambda name: _rank(seed, name))
    sides = combinations(order, 2 if len(beads) >= FEWEST else 1)

    def away(side: tuple[str, ...]) -> float:
        held = sum(beads[name] for name in side)
        return abs(math.log(max(held, 0.5) / wanted)) if wanted else 0.0

    return set(min(sides, key=away))


def _named(named: Sequence[str], units: Collection[str]) -> set[str]:
    gone = [name for name in named if name not in units]
    if gone:
        raise BeadsegError(
            f"data.validation names {gone[0]!r}, and no image or group of that name "
            "has a mask"
        )
    if set(named) == set(units):
        raise BeadsegError(
            "data.validation names every image that has a mask: leave some to train on"
        )
    return set(named)


def _beads(members: list[int], records: Sequence[RecordInfo]) -> np.ndarray:
    """Of the images of a unit: i64[N]."""
    beads = {records[i].image: records[i].beads for i in members}
    return np.array([*beads.values()])


def _range(stratum: int, bins: Sequence[int]) -> str:
    if stratum + 1 == len(bins):
        return f"{bins[-1]} beads or more"
    return f"{bins[stratum]}-{bins[stratum + 1] - 1} beads"


def _shares(sizes: dict[int, int], fraction: float) -> dict[int, int]:
    """Validation units of each stratum: at least two in all, from thin to dense.

    Each stratum gives one, the thinnest and the densest first, as long as that takes no
    more than `COVERING` of all units; what is left is shared by largest remainders. A
    stratum of one unit trains, unless every stratum is such.
    """
    total = sum(sizes.values())
    most = {s: n - 1 for s, n in sizes.items()}
    if not any(most.values()):
        most = dict.fromkeys(sizes, 1)
    able = sorted(s for s, n in most.items() if n)
    covering = min(len(able), int(COVERING * total))
    least = max(2 if total >= FEWEST else 1, covering)
    wanted = min(max(round(fraction * total), least), total - 1, sum(most.values()))
    outer = sorted(able, key=lambda s: (s not in (able[0], able[-1]), -sizes[s], s))
    shares = {s: int(s in outer[:wanted]) for s in sizes}
    for _ in range(wanted - sum(shares.values())):
        left = [s for s in able if shares[s] < most[s]]
        needs = {s: fraction * sizes[s] - shares[s] for s in left}
        shares[max(left, key=lambda s: (needs[s], sizes[s], -s))] += 1
    return shares


def _rank(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=16).digest()
