"""The size of a pixel that makers of microscopes write into tags of their own.

Each function gives x and y of a page in um, or one number for both; None, or any error,
where the page has none or it is damaged.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import tifffile

from beadseg.data.images.units import length, quantity

# px across the image whose pixel size the unnamed numbers of Zeiss hold.
_ZEISS_WIDTH = 1024

Sides = tuple[float | None, ...]


def _zeiss_sem(page: tifffile.TiffPage) -> Sides:
    found = page.tags.valueof(34118)
    for name in ("ap_image_pixel_size", "ap_pixel_size"):
        if name in found:
            _, *parts = found[name]
            return (quantity(" ".join(map(str, parts))),)
    return (length(found[""][3] * _ZEISS_WIDTH / page.imagewidth, "m"),)


def _fei_sem(page: tifffile.TiffPage) -> Sides:
    found = page.tags.valueof(34680) or page.tags.valueof(34682)
    for section in ("Scan", "EScan", "IScan"):
        scan = found.get(section, {})
        if "PixelWidth" in scan:
            height = scan.get("PixelHeight", scan["PixelWidth"])
            return length(scan["PixelWidth"], "m"), length(height, "m")
        if "HorFieldsize" in scan:
            return (length(scan["HorFieldsize"] / page.imagewidth, "m"),)
    for section in ("EBeam", "IBeam", "IRBeam"):
        if "HFW" in found.get(section, {}):
            return (length(found[section]["HFW"] / page.imagewidth, "m"),)
    return (None,)


def _tescan(page: tifffile.TiffPage) -> Sides:
    text = bytes(page.tags.valueof(50431)).decode("latin-1")
    return tuple(
        length(re.search(rf"PixelSize{axis}=([\d.eE+-]+)", text)[1], "m")
        for axis in "XY"
    )


def _olympus_sis(page: tifffile.TiffPage) -> Sides:
    found = page.tags.valueof(33560)
    return length(found["pixelsizex"], "m"), length(found["pixelsizey"], "m")


def _gatan(page: tifffile.TiffPage) -> Sides:
    """Scales of x and y with their units, short or long."""

    def side(scale: int, short: int, long: int) -> float | None:
        value = page.tags.valueof(scale)
        units = (page.tags.valueof(code, default="") for code in (short, long))
        return next((um for um in (length(value, u) for u in units) if um), None)

    return side(65009, 65003, 65012), side(65010, 65004, 65013)


def _tvips(page: tifffile.TiffPage) -> Sides:
    found = page.tags.valueof(37706)
    return length(found["PixelSizeX"], "nm"), length(found["PixelSizeY"], "nm")


def _jeol_tem(page: tifffile.TiffPage) -> Sides:
    """The resolution is that of the camera, to which the specimen is magnified."""
    if not page.tags.valueof("Make").startswith("JEOL"):
        return (None,)
    report = ElementTree.fromstring(page.description.strip(" \r\n\t\0\1"))
    optics = report.find(".//ImageFormingSystem")
    if optics.findtext("ModeString") != "MAG":
        return (None,)
    unit = {2: "inch", 3: "cm"}[int(page.tags.valueof("ResolutionUnit"))]
    pixels, units = page.tags.valueof("XResolution")
    return (length(units / pixels / float(optics.findtext("SelectorValue")), unit),)


def _aperio(page: tifffile.TiffPage) -> Sides:
    found = tifffile.tifffile.svs_description_metadata(page.description)
    return (length(found["MPP"], "um"),)


def _philips(page: tifffile.TiffPage) -> Sides:
    """Of the slide, not of its label; a DICOM spacing gives y first, in mm."""
    report = ElementTree.fromstring(page.description)
    for image in report.iter("DataObject"):
        found = {a.get("Name"): a.text or "" for a in image.findall("Attribute")}
        if found.get("PIM_DP_IMAGE_TYPE") == "WSI":
            y, x = found["DICOM_PIXEL_SPACING"].replace('"', "").split()
            return length(x, "mm"), length(y, "mm")
    return (None,)


def _ventana(page: tifffile.TiffPage) -> Sides:
    report = ElementTree.fromstring(page.tags.valueof(700))
    scan = next(report.iter("iScan"))
    return (length(scan.get("ScanRes"), "um"),)


def _micro_manager(page: tifffile.TiffPage) -> Sides:
    found = page.tags.valueof(51123)
    return (length(found["PixelSizeUm"], "um"),)


def _micro_manager_summary(page: tifffile.TiffPage) -> Sides:
    summary = page.parent.micromanager_metadata["Summary"]
    return (length(summary.get("PixelSizeUm", summary.get("PixelSize_um")), "um"),)


def _zeiss_lsm(page: tifffile.TiffPage) -> Sides:
    found = page.parent.lsm_metadata
    return length(found["VoxelSizeX"], "m"), length(found["VoxelSizeY"], "m")


def _metamorph_stack(page: tifffile.TiffPage) -> Sides:
    found = page.parent.stk_metadata
    unit = found["CalibrationUnits"]
    return length(found["XCalibration"], unit), length(found["YCalibration"], unit)


def _metamorph(page: tifffile.TiffPage) -> Sides:
    found = tifffile.tifffile.metaseries_description_metadata(page.description)
    plane = found["PlaneInfo"]
    if not plane.get("spatial-calibration-state", True):
        return (None,)  # nobody has calibrated it
    unit = plane["spatial-calibration-units"]
    sides = (plane[f"spatial-calibration-{axis}"] for axis in "xy")
    return tuple(length(side, unit) for side in sides)


def _fluoview(page: tifffile.TiffPage) -> Sides:
    found = page.tags.valueof(34361)["Dimensions"]
    sides = {name.upper(): length(each, unit) for name, _, _, each, unit in found}
    return sides["X"], sides["Y"]


def _tifffile(page: tifffile.TiffPage) -> Sides:
    """What Python programs that know OME write into the metadata of tifffile."""
    found = page.parent.shaped_metadata[0]
    units = (found.get(f"PhysicalSize{axis}Unit", "um") for axis in "XY")
    sides = (found[f"PhysicalSize{axis}"] for axis in "XY")
    return tuple(map(length, sides, units))


MAKERS: tuple[Callable[[tifffile.TiffPage], Sides], ...] = (
    _zeiss_sem,
    _fei_sem,
    _tescan,
    _olympus_sis,
    _gatan,
    _tvips,
    _jeol_tem,
    _aperio,
    _philips,
    _ventana,
    _micro_manager,
    _micro_manager_summary,
    _zeiss_lsm,
    _metamorph_stack,
    _metamorph,
    _fluoview,
    _tifffile,
)
