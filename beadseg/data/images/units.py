"""Units of length in all the spellings that microscopes and programs write."""

import html
import math
import re
import unicodedata

# Symbols and names of the SI prefixes, as powers of ten.
_PREFIXES = {
    ("Y", "yotta"): 24,
    ("Z", "zetta"): 21,
    ("E", "exa"): 18,
    ("P", "peta"): 15,
    ("T", "tera"): 12,
    ("G", "giga"): 9,
    ("M", "mega"): 6,
    ("k", "kilo"): 3,
    ("h", "hecto"): 2,
    ("da", "deca"): 1,
    ("", ""): 0,
    ("d", "deci"): -1,
    ("c", "centi"): -2,
    ("m", "milli"): -3,
    ("u", "micro"): -6,
    ("n", "nano"): -9,
    ("p", "pico"): -12,
    ("f", "femto"): -15,
    ("a", "atto"): -18,
    ("z", "zepto"): -21,
    ("y", "yocto"): -24,
}
# Those without a prefix, in um: with names in the singular; the OME schema knows the
# symbols of all of them.
_OTHERS = {
    ("Å", "A", "å", "angstrom", "ångström", "ångstrom", "angström"): 1e-4,
    ("micron", "mu", "u"): 1.0,
    ("thou", "mil"): 25.4,
    ("pt", "point"): 25400 / 72,
    ("li", "line"): 25400 / 12,
    ("in", "inch", "inche", '"'): 25400.0,  # inche: of inches
    ("ft", "foot", "feet"): 304800.0,
    ("yd", "yard"): 914400.0,
    ("mi", "mile"): 1.609344e9,
    ("ua", "au"): 1.495978707e17,
    ("ly",): 9.4607304725808e21,
    ("pc", "parsec"): 3.0856775814913673e22,
}
_UM: dict[str, float] = {
    f"{symbol}m": float(f"1e{power + 6}") for (symbol, _), power in _PREFIXES.items()
}
for (_, _name), _power in _PREFIXES.items():
    for _ending in ("meter", "metre"):
        _UM[f"{_name}{_ending}"] = _UM[f"{_name}{_ending}s"] = float(f"1e{_power + 6}")
for _spellings, _um in _OTHERS.items():
    for _spelling in _spellings:
        _UM[_spelling] = _um
        if len(_spelling) > 2:
            _UM[f"{_spelling}s"] = _um


def um_of(unit: str) -> float | None:
    """The length of a unit in um, or None where it is no known unit of length.

    Symbols ("um", "Å"), names in singular and plural, American and British
    ("nanometres"), any kind of micro sign and of escape (backslash u03BC, &#181;, UTF-8
    read as Latin-1), and rates such as "um/pixel". Where it matters, upper and lower
    case are told apart (mm, Mm).
    """
    unit = _plain(unit)
    return _UM.get(unit, _UM.get(unit.casefold()))


def length(value: object, unit: str) -> float | None:
    """A value in um; None where it is no positive number or `unit` is unknown.

    In a text a comma may stand for the decimal point.
    """
    um = um_of(unit)
    try:
        found = float(value.replace(",", ".") if isinstance(value, str) else value) * um
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) and found > 0 else None


def is_pixel_size(um: float) -> bool:
    """Whether a pixel may be so large; what is not to be squared is none."""
    return 1e-12 < um < 1e6


def quantity(text: str) -> float | None:
    """A number with its unit behind it, such as "24.5 nm" or "1,2 µm", in um."""
    match = re.fullmatch(r"\s*([+-]?[\d.,]+(?:[eE][+-]?\d+)?)\s*(\S.*?)\s*", text)
    return match and length(match[1], match[2])


def _plain(unit: str) -> str:
    unit = html.unescape(unit.split("\0")[0])
    unit = re.sub(
        r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), unit.strip()
    )
    try:
        unit = unit.encode("latin-1").decode("utf-8")
    except UnicodeError:
        pass  # it was not UTF-8 that was read as Latin-1
    # Compatible characters become one: the two micro signs, Angstrom's, squared units.
    unit = unicodedata.normalize("NFKC", unit).replace("μ", "u")
    unit = re.sub(r"[\s\-_.()\[\]]", "", unit)
    return re.sub(r"(/|per)(px|pix|pixels?)$", "", unit, flags=re.IGNORECASE)
