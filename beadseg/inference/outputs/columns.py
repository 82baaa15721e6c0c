"""What the columns of the tables are: the one place where they are documented."""

import re

# By name; "*" stands for px and um, or px and um2. "": no unit.
COLUMNS: dict[str, tuple[str, str]] = {
    "image": ("", "name of the image; its files have that name"),
    "file": ("", "the file it is in"),
    "page": ("", "number of the page in the file, from 0"),
    "scene": ("", "scene, position or series of the file"),
    "t": ("", "number of the time, from 0"),
    "z": ("", "number of the plane in depth, from 0"),
    "channel": ("", "name of the channel"),
    "label": ("", "number of the bead in labels/"),
    "y": ("px", "centroid; the centre of the first pixel is 0"),
    "x": ("px", "centroid; the centre of the first pixel is 0"),
    "y_um": ("um", "centroid"),
    "x_um": ("um", "centroid"),
    "area_*": ("", "area"),
    "diameter_*": ("", "equivalent diameter, of the disc of equal area"),
    "feret_max_*": ("", "largest distance of two parallels that hold the bead"),
    "feret_min_*": ("", "smallest distance of two parallels that hold the bead"),
    "major_axis_*": ("", "long axis of the ellipse of equal second moments"),
    "minor_axis_*": ("", "short axis of the ellipse of equal second moments"),
    "circularity": ("", "4 pi area / perimeter^2: 1 for a disc"),
    "mean_intensity": ("grey", "mean of the pixels of the bead"),
    "median_intensity": ("grey", "median of the pixels of the bead"),
    "max_intensity": ("grey", "brightest pixel of the bead"),
    "integrated_intensity": ("grey px", "sum of the pixels of the bead"),
    "background": ("grey", "mean of the clear background in the region"),
    "local_background": (
        "grey",
        "median of a ring around the bead, from 2 px outside it to half a median "
        "diameter farther, without what is nearer to another bead",
    ),
    "mean_above_background": ("grey", "mean_intensity less local_background"),
    "median_above_background": ("grey", "median_intensity less local_background"),
    "integrated_above_background": (
        "grey px",
        "integrated_intensity less local_background on all pixels of the bead",
    ),
    "contrast": ("", "(mean - local background) / (mean + local background)"),
    "focus": (
        "1/px",
        "sharpness: mean slope of the rim / its difference in brightness",
    ),
    "neighbours": ("", "beads whose centres are within 2 diameters of this one"),
    "touching": ("", "beads that have a pixel next to this one"),
    "nearest_*": ("", "from its centre to that of the nearest other bead"),
    "mean_probability": ("", "mean over the bead, or over the beads of the image"),
    "uncertainty": ("", "mean spread of the probability between models or symmetries"),
    "score": ("", "how surely it is a bead, 0 to 1"),
    "class": ("", "number of its kind in the mask, of masks with classes"),
    "on_border": ("", "1: the border of the image cuts it"),
    "edge_weight": (
        "",
        "how much it counts by `--edge`: 1 or 0; of corrected 0 if the border cuts it, "
        "else above 1, for those of its size that are cut",
    ),
    "height": ("px", "of the image"),
    "width": ("px", "of the image"),
    "pixel_size_um": ("um", "of a pixel, where it is known"),
    "count": ("", "beads that count by `--edge`; of corrected, all that are found"),
    "found": ("", "beads in the image, or in its region: rows of the table of beads"),
    "added": ("", "beads that a person has drawn"),
    "removed": ("", "beads that were found, and a person has taken out"),
    "edited": ("", "1: a person has drawn or changed it; of images, how many changed"),
    "edge_corrected_count": (
        "",
        "sum of edge_weight: count, but of `--edge corrected` an estimate of the beads "
        "that belong to the area of the image",
    ),
    "region_area_px": ("px2", "pixels of the region in which beads count (`--roi`)"),
    "density_per_mpx": ("1/Mpx", "edge_corrected_count in a million pixels"),
    "density_per_mm2": ("1/mm2", "edge_corrected_count in a square millimetre"),
    "coverage": ("", "share of the image that beads cover"),
    "median_diameter_*": ("", "median of diameter, of beads that are whole"),
    "iqr_diameter_*": ("", "interquartile range of diameter, of beads that are whole"),
    "mean_score": ("", "mean over the beads of the image"),
    "threshold": ("", "of the probability, that was used"),
    "scale": ("", "of the level of the pyramid that most beads were found in"),
    "doubt": ("", "what makes the count doubtful"),
}

# Those that there are of every channel too, with "_" and its name behind them.
INTENSITIES = (
    *("mean_intensity", "median_intensity", "integrated_intensity"),
    *("local_background", "mean_above_background", "median_above_background"),
    "integrated_above_background",
)
# Channels of which they are: all but those of colours, all, or none.
CHANNELS = ("auto", "all", "one")


def about(name: str) -> tuple[str, str] | None:
    """Unit and meaning of a column; None: it is not documented."""
    if name in COLUMNS:
        return COLUMNS[name]
    stem = re.fullmatch(r"(.+)_(px|um|um2)", name)
    if stem and f"{stem[1]}_*" in COLUMNS:
        return stem[2], COLUMNS[f"{stem[1]}_*"][1]
    for column in INTENSITIES:
        if name.startswith(f"{column}_"):
            return COLUMNS[column][0], f"{column} in that channel of the file"
    return None


def rows() -> list[tuple[str, str, str]]:
    """Name, unit and meaning of every column."""
    names = {name: name.replace("_*", "_px, _um") for name in COLUMNS}
    names["area_*"] = "area_px, _um2"
    more = {f"{name}_CHANNEL": about(f"{name}_CHANNEL") for name in INTENSITIES}
    return [(names.get(name, name), *told) for name, told in (COLUMNS | more).items()]


def lines() -> list[str]:
    """The table of columns, a line each, for a terminal."""
    width = max(len(name) for name, _, _ in rows())
    return [
        f"{name:{width}}  {meaning}" + (f" [{unit}]" if unit else "")
        for name, unit, meaning in rows()
    ]
