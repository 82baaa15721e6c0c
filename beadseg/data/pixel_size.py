"""The size of a pixel in um, from the metadata of a TIFF file.

Sizes are (x, y) pairs, or None where the file gives none that can be trusted.
"""

import math
import xml.etree.ElementTree as ElementTree

import tifffile

# The spellings of ImageJ (which escapes the micro sign) and of OME.
_UM = {
    "m": 1e6,
    "cm": 1e4,
    "mm": 1e3,
    "um": 1.0,
    "nm": 1e-3,
    "pm": 1e-6,
    "å": 1e-4,
    "angstrom": 1e-4,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "micrometers": 1.0,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "centimeter": 1e4,
    "centimetre": 1e4,
    "meter": 1e6,
    "metre": 1e6,
}
# Resolutions of screens and printers; they say nothing about the specimen.
_PRINT_DPI = (72, 75, 96, 100, 120, 144, 150, 180, 200, 240, 300, 360, 400, 600, 1200)
_LARGEST = 100.0  # um; above it a resolution in cm is not a microscope's


def ome_sizes(xml: str) -> list[tuple[float, float] | None]:
    """Sizes of the images that an OME-XML document describes, in its order."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return [None]
    sizes = []
    for pixels in root.iter():
        if pixels.tag.rsplit("}", 1)[-1] == "Pixels":
            x, y = (
                _length(
                    pixels.get(f"PhysicalSize{axis}"),
                    pixels.get(f"PhysicalSize{axis}Unit", "um"),
                )
                for axis in "XY"
            )
            sizes.append(_pair(x, y if y is not None else x))
    return sizes or [None]


def imagej_size(page: tifffile.TiffPage, metadata: dict) -> tuple[float, float] | None:
    """Size from ImageJ's unit and the pixels per unit; not from inches."""
    x, y = (_rational(page, f"{axis}Resolution") for axis in "XY")
    if not x:
        return None
    unit = str(metadata.get("unit", ""))
    y_unit = str(metadata.get("yunit", unit))
    return _pair(_length(1 / x, unit), _length(1 / (y or x), y_unit))


def resolution_size(page: tifffile.TiffPage) -> tuple[float, float] | None:
    """Size from a resolution per centimetre, if a microscope could have it."""
    unit = page.tags.get("ResolutionUnit")
    if unit is None or int(unit.value) != 3:
        return None
    x, y = (_rational(page, f"{axis}Resolution") for axis in "XY")
    if not x or 1e4 / x >= _LARGEST:
        return None
    if any(math.isclose(x * 2.54, dpi, rel_tol=2e-3) for dpi in _PRINT_DPI):
        return None
    return _pair(1e4 / x, 1e4 / (y or x))


def _rational(page: tifffile.TiffPage, name: str) -> float:
    tag = page.tags.get(name)
    try:
        numerator, denominator = tag.value
        return numerator / denominator
    except (AttributeError, TypeError, ValueError, ZeroDivisionError):
        return 0.0


def _length(value: object, unit: str) -> float | None:
    """um, or None for a unit that is no length, or is not trusted."""
    # ImageJ writes the micro sign as backslash u00B5; there are two micro signs.
    unit = unit.strip().replace("\\u00B5", "u").replace("\\u00b5", "u")
    unit = unit.replace("\u00b5", "u").replace("\u03bc", "u")
    unit = {"A": "å", "Å": "å", "\u212b": "å"}.get(unit, unit.lower())
    try:
        return float(value) * _UM[unit]
    except (KeyError, TypeError, ValueError):
        return None


def _pair(x: float | None, y: float | None) -> tuple[float, float] | None:
    if x is None or y is None:
        return None
    good = all(math.isfinite(v) and 0 < v < 1e6 for v in (x, y))
    return (x, y) if good else None
