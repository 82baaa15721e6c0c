"""What a file of images holds, as its reader lists it before anything is decoded.

And where a page of it lies: scene, time, depth, channel; and its name by that.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from beadseg.quoting import printable

MOST_PAGES = 50_000  # of a file: listing them takes seconds
COLOURS = ("red", "green", "blue")
STACKS = ("pages", "max", "mean")  # every page is an image, or z is projected
PLACE = ("scene", "t", "z", "channel")
_ENDS = {"scene": "s{}", "t": "t{:03d}", "z": "z{:02d}"}


class Plane(NamedTuple):
    """One page image of a file: enough to read it again without parsing the rest.

    Files of one image need none of it; the numbers are those of TIFF.
    """

    directory: int = 0  # byte offset of the image file directory
    number: int = 0  # of the page in the file
    offset: int | None = None  # of raw pixels that no directory of their own describes
    block: tuple[int, ...] = ()  # shape of what the directory describes
    axes: str = ""  # names of the block's axes
    index: tuple[int, ...] = ()  # along those axes of the block that are not Y, X, S
    problem: str = ""  # why it cannot be read


class Stack(NamedTuple):
    """Planes of one shape and meaning, in C order of `axes`."""

    axes: str  # besides Y, X and S; "I" and "Q" are unnamed
    sizes: tuple[int, ...]
    planes: list[Plane]
    shape: tuple[int, int]  # H, W
    kind: str  # "grey", "colour", or "samples" of unknown meaning
    samples: int  # without alpha
    pixel_size: tuple[float, float] | None = None  # x, y in um
    notes: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()  # their names, if the file has them
    scene: str = ""  # of several
    level: int = 0  # of a pyramid; 0: the full one


class Channel(NamedTuple):
    """Where a channel of an image lies."""

    name: str  # that no other channel of the image has
    planes: tuple[Plane, ...]
    sample: int | None  # of a pixel; None: luminance, or the only one


def check_number(pages: int) -> None:
    """Refuses a file of more than `MOST_PAGES`, as a damaged one may have, unlisted.

    Raises:
      ValueError: it has more.
    """
    if pages > MOST_PAGES:
        raise ValueError(
            f"it lists more than {MOST_PAGES:,} pages; split it into several files"
        )


def channel_number(channel: int | str | None, names: Sequence[str]) -> int | None:
    """The channel that a person asks for by number or by name.

    Raises:
      ValueError: no channel has that name.
    """
    if not isinstance(channel, str):
        return channel
    alike = [i for i, name in enumerate(names) if name.casefold() == channel.casefold()]
    if not alike:
        known = ", ".join(name for name in names if name) or "none has a name"
        raise ValueError(f"there is no channel {channel!r} ({known}): give its number")
    return alike[0]


def names_of_channels(given: Sequence[str], count: int) -> list[str]:
    """A name for each of `count` channels; without one of its own "channel_0"."""
    given = given if len(given) == count else [""] * count
    given = [printable(" ".join(name.split())) for name in given]
    return [
        name if name and given.count(name) == 1 else f"{name or 'channel'}_{i}"
        for i, name in enumerate(given)
    ]


def place_of(
    part: Stack, index: tuple[int, ...], stack: str
) -> tuple[tuple[str, int | str], ...]:
    """Scene, t, z and the name of the channel of a plane, those that there are."""
    at = dict(zip(part.axes, index, strict=True))
    place: dict[str, int | str] = {"scene": part.scene} if part.scene else {}
    sizes = dict(zip(part.axes, part.sizes, strict=True))
    if sizes.get("R", 1) > 1:  # positions of the stage, of Micro-Manager
        place["scene"] = str(at["R"])
    for name in ("T", "Z"):
        several = sizes.get(name, 1) > 1
        if several and not (name == "Z" and stack != "pages"):
            place[name.lower()] = at[name]
    if part.channels and (name := part.channels[at.get("C", 0)]):
        place["channel"] = name
    return tuple(place.items())


def page_ends(places: list[dict[str, Any]]) -> list[str]:
    """What stands behind the name of a file for each page: _t003_z01, or _p003.

    Only what differs between the pages; nothing for a single page.
    """
    if len(places) == 1:
        return [""]
    keys = [key for key in _ENDS if len({place.get(key) for place in places}) > 1]
    scenes = list(dict.fromkeys(place.get("scene") for place in places))
    ends = [
        "".join(
            "_"
            + _ENDS[key].format(
                scenes.index(place[key]) if key == "scene" else place[key]
            )
            for key in keys
            if key in place
        )
        or f"_p{i:03d}"
        for i, place in enumerate(places)
    ]
    if len(set(ends)) < len(ends):
        return [f"_p{i:03d}" for i in range(len(places))]
    return ends
