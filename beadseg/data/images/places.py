"""Where a page lies in its file: scene, time, depth, channel; and its name by that."""

from collections.abc import Sequence
from typing import Any

from beadseg.data.images.stacks import Stack

PLACE = ("scene", "t", "z", "channel")
_ENDS = {"scene": "s{}", "t": "t{:03d}", "z": "z{:02d}"}


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


def place_of(
    part: Stack, index: tuple[int, ...], stack: str
) -> tuple[tuple[str, int | str], ...]:
    """Scene, t, z and the name of the channel of a plane, those that there are."""
    at = dict(zip(part.axes, index, strict=True))
    place: dict[str, int | str] = {"scene": part.scene} if part.scene else {}
    for name in ("T", "Z"):
        several = dict(zip(part.axes, part.sizes, strict=True)).get(name, 1) > 1
        if several and not (name == "Z" and stack != "pages"):
            place[name.lower()] = at[name]
    if part.channels:
        place["channel"] = part.channels[at.get("C", 0)]
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
        for place in places
    ]
    if len(set(ends)) < len(ends):
        return [f"_p{i:03d}" for i in range(len(places))]
    return ends
