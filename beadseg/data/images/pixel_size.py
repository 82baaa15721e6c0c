"""The size of a pixel in um, and names of channels, from the metadata of a TIFF."""

import math
import xml.etree.ElementTree as ElementTree
from typing import Any, NamedTuple

import tifffile

from beadseg.data.images.makers import MAKERS
from beadseg.data.images.units import is_pixel_size, length, um_of

_INCH = um_of("inch")
# Resolutions of screens, printers and scanners; they say nothing about the specimen.
_PRINT_DPI = (
    *(72, 75, 90, 96, 100, 120, 130, 144, 150, 160, 180, 200, 216, 220, 240, 250, 266),
    *(288, 300, 320, 326, 350, 360, 400, 450, 480, 500, 600, 720, 800, 1000, 1200),
    *(1440, 1800, 2400, 2880, 3200, 3600, 4000, 4800, 5760, 6400, 7200, 9600, 19200),
)
_PRINTED = 1270.0  # px per inch; up to here whole numbers are a printer's
# um; a resolution of larger pixels is not a microscope's. In inches it may as well be
# that of the sensor itself.
_LARGEST = {2: 10.0, 3: 100.0}
_NAMES = {1: "unit", 2: "inch", 3: "cm"}
_NO_UNIT = ("", "pixel", "pixels", "px", "none", "null")
_REMEDY = "not used as the pixel size; give it with --pixel-size or in beads.toml"


class PixelSize(NamedTuple):
    """x and y in um, None where nothing is given that can be trusted; and remarks."""

    size: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


def series_sizes(file: tifffile.TiffFile, count: int) -> list[PixelSize]:
    """Of the images of a file whose metadata tell them apart, `count` in number."""
    page = file.pages.first
    found = [PixelSize()]
    if file.is_ome:
        found = _ome_sizes(file.ome_metadata)
        if len(found) != count:
            found = [found[0] if len(set(found)) == 1 else PixelSize()]
    elif file.is_imagej:
        found = [_imagej_size(page, file.imagej_metadata)]
    if len(found) == 1:
        found *= count
    other = page_size(page)

    def choose(one: PixelSize) -> PixelSize:
        if one.size or (one.notes and not other.size):
            return one
        return other

    return [choose(one) for one in found]


def page_size(page: tifffile.TiffPage) -> PixelSize:
    """Of one page: as the maker of the microscope wrote it, else its resolution."""
    for read in MAKERS:
        try:
            size = _pair(*read(page))
        except Exception:  # what is missing or damaged raises anything
            continue
        if size is not None:
            return PixelSize(size)
    return _resolution_size(page)


def channel_names(file: tifffile.TiffFile, count: int) -> list[tuple[str, ...]]:
    """The names of the channels of each of `count` images; () where OME has none."""
    found = [
        tuple(part.get("Name", "") for part in pixels if _is(part, "Channel"))
        for pixels in _ome_pixels(file.ome_metadata or "")
    ]
    return found if len(found) == count else [()] * count


def _ome_pixels(xml: str) -> list[ElementTree.Element]:
    """The images that an OME-XML document describes, in its order."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return []
    return [part for part in root.iter() if _is(part, "Pixels")]


def _is(part: ElementTree.Element, name: str) -> bool:
    return part.tag.rsplit("}", 1)[-1] == name


def _ome_sizes(xml: str) -> list[PixelSize]:
    """Of the images that an OME-XML document describes, in its order."""
    sizes = []
    for pixels in _ome_pixels(xml):
        value = {a: pixels.get(f"PhysicalSize{a}") for a in "XY"}
        unit = {a: pixels.get(f"PhysicalSize{a}Unit", "um") for a in "XY"}
        for side, other in ("YX", "XY"):
            if value[side] is None:
                value[side], unit[side] = value[other], unit[other]
        size = _pair(*(length(value[a], unit[a]) for a in "XY"))
        if size is None and value["X"] is not None:
            note = _unit_note(unit["X"]) or _value_note(value["X"], unit["X"])
            sizes.append(PixelSize(None, note))
        else:
            sizes.append(PixelSize(size))
    return sizes or [PixelSize()]


def _imagej_size(page: tifffile.TiffPage, metadata: dict[str, Any]) -> PixelSize:
    """From ImageJ's unit and the pixels per unit."""
    x, y = _resolution(page)
    if not x:
        return PixelSize()
    unit = str(metadata.get("unit", ""))
    y_unit = str(metadata.get("yunit", unit))
    if um_of(unit) == _INCH:
        return _of_resolution(x, y, 2)
    if um_of(unit) == 1e4 and _is_print(2.54 * x, metric=True):
        return PixelSize()
    size = _pair(length(1 / x, unit), length(1 / y, y_unit))
    return PixelSize(size, () if size else _unit_note(unit))


def _unit_note(unit: str) -> tuple[str, ...]:
    if um_of(unit) is not None or unit.strip("\0 ").lower() in _NO_UNIT:
        return ()
    return (f"the unit {unit[:40]!r} is no known length: {_REMEDY}",)


def _value_note(value: str, unit: str) -> tuple[str, ...]:
    if um_of(unit) is None:
        return ()
    return (f"a pixel size of {value[:40]!r} is no length: {_REMEDY}",)


def _resolution_size(page: tifffile.TiffPage) -> PixelSize:
    """From a resolution per inch or cm, if a microscope could have it."""
    x, y = _resolution(page)
    unit = page.tags.get("ResolutionUnit")
    return _of_resolution(x, y, 2 if unit is None else int(unit.value))


def _of_resolution(x: float, y: float, unit: int) -> PixelSize:
    """From pixels to a unit: 2 inch, 3 cm, of the TIFF standard."""
    if not x or (x == 1 and unit == 1):
        return PixelSize()
    if unit not in _LARGEST:
        unused = not _is_print(x, metric=False)
    else:
        um = _INCH if unit == 2 else 1e4
        per_inch = x * _INCH / um
        printed = _is_print(per_inch, metric=unit == 3)
        size = _pair(um / x, um / y)
        if size and not printed and um / x < 1.001 * _LARGEST[unit]:
            source = f"pixel size of {size[0]:.4g} um from {x:.6g} px per inch"
            return PixelSize(size, (source,) if unit == 2 else ())
        unused = not (printed and unit == 2)
    name = _NAMES.get(unit, "unit")
    note = f"a resolution of {x:.6g} px per {name} is {_REMEDY}"
    return PixelSize(None, (note,) if unused else ())


def _is_print(per_inch: float, metric: bool) -> bool:
    """Whether a screen, printer or scanner has such a resolution.

    `metric`: told in cm. What is no whole number in cm and one in inches came from a
    printer.
    """
    if any(math.isclose(per_inch, dpi, rel_tol=2e-3) for dpi in _PRINT_DPI):
        return True
    if not metric or per_inch > _PRINTED:
        return False
    per_cm = per_inch / 2.54
    return abs(per_inch - round(per_inch)) < 0.02 and abs(per_cm - round(per_cm)) > 1e-3


def _resolution(page: tifffile.TiffPage) -> tuple[float, float]:
    x, y = (_rational(page, f"{axis}Resolution") for axis in "XY")
    return x, y or x


def _rational(page: tifffile.TiffPage, name: str) -> float:
    tag = page.tags.get(name)
    try:
        numerator, denominator = tag.value
        return numerator / denominator
    except (AttributeError, TypeError, ValueError, ZeroDivisionError):
        return 0.0


def _pair(x: float | None, y: float | None = None) -> tuple[float, float] | None:
    if x is None:
        return None
    y = x if y is None else y
    return (x, y) if is_pixel_size(x) and is_pixel_size(y) else None
