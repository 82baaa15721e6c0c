"""How a bead looks under each kind of microscope, as a function of the radius.

A bead acts on what lies beneath it as `below * gain + glow`. Transmitted light has
only gain (shadows multiply), fluorescence only glow (light adds up), an opaque bead
hides what is below (gain 0 inside). Both are tables over the distance from the centre,
RESOLUTION entries a px. Blur is part of the formulas, not a filter: an edge of
standard deviation s is a Gaussian integral, a ring of width w becomes sqrt(w^2 + s^2)
wide and lower in proportion.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

RESOLUTION = 8  # table entries a px


class Look(NamedTuple):
    """What the optics make of N beads on an empty background of level `background`."""

    background: float  # signal of the empty background, 0..1
    gain: np.ndarray  # f32[N, T], 1 far from the bead
    texture: float  # relative standard deviation of the grain inside beads
    texture_period: float  # px
    background_texture: float  # the same for the background
    bits: tuple[int, ...]  # depths of the cameras in use
    electrons: tuple[float, float]  # detected quanta at full scale, log-uniform
    glow: np.ndarray | None = None  # f32[N, T], 0 far from the bead
    relief: np.ndarray | None = None  # f32[N, T], gain that `lean` adds or takes away
    lean: tuple[float, float] = (0.0, 0.0)  # change over a radius: of glow, relative
    spots: tuple[tuple[float, ...], ...] = ()  # dy, dx, width [radii], level
    grain: float = 0.0  # relative standard deviation of grain over all of the image
    light: bool = True  # uneven illumination multiplies the signal
    dark: bool = False  # background darker than the beads
    wall: np.ndarray | None = None  # f64[N], px inside the outline that are no bead


def of_beads(look: Look, chosen: np.ndarray) -> Look:
    """The look of some of the beads, i[M]."""
    per_bead = ("gain", "glow", "relief", "wall")
    tables = {name: getattr(look, name) for name in per_bead}
    return look._replace(
        **{k: None if table is None else table[chosen] for k, table in tables.items()}
    )


class Radial:
    """Building blocks of radial profiles: f32[N, T] over the tabulated distances."""

    def __init__(self, radius: np.ndarray, blur: np.ndarray, reach: float):
        entries = int((float(radius.max()) + reach) * RESOLUTION) + 2
        # An entry serves the distances that round down to it: take their middle.
        self.t = (np.arange(entries, dtype=np.float32)[None] + 0.5) / RESOLUTION
        self.radius = radius.astype(np.float32)[:, None]
        self.blur = np.maximum(blur, 0.05).astype(np.float32)[:, None]
        self.out = self.t - self.radius  # px beyond the outline
        self.rho = self.t / self.radius
        self.inside = ndtr(-self.out / self.blur)
        # Tables end with exactly nothing, so that patches leave no seam.
        self.fade = np.clip((reach - self.out) / (0.3 * reach), 0, 1)

    def ring(self, at, width) -> np.ndarray:
        """Height 1 in focus, `at` px beyond the outline, `width` px (deviation)."""
        wide = np.sqrt(np.square(width) + self.blur**2)
        return (width / wide) * np.exp(-0.5 * ((self.out - at) / wide) ** 2) * self.fade

    def bump(self, width) -> np.ndarray:
        """Height 1 in the centre, `width` radii (deviation)."""
        own = width * self.radius
        wide = np.sqrt(own**2 + self.blur**2)
        return (own / wide) ** 2 * np.exp(-0.5 * (self.t / wide) ** 2)

    def dome(self) -> np.ndarray:
        """Thickness of a ball, 1 in the centre, softened at the rim by the blur."""
        q = 1 - self.rho**2
        soft = 1.2 * self.blur / self.radius
        thick = np.sqrt(0.5 * (q + np.sqrt(q * q + soft * soft)))
        return thick * ndtr(-(self.out - self.blur) / (0.8 * self.blur))

    def halo(self, length) -> np.ndarray:
        """Exponential tail outside, 1 at the outline, `length` px."""
        tail = np.exp(-np.maximum(self.out, 0) / length)
        return tail * (1 - self.inside) * self.fade


def _pick(rng, *weights) -> int:
    return int(rng.choice(len(weights), p=np.array(weights) / sum(weights)))


def _lean(rng, *slope: float) -> tuple[float, float]:
    """Light from any side."""
    turn, slope = rng.uniform(0, 2 * np.pi), rng.uniform(*slope)
    return slope * np.sin(turn), slope * np.cos(turn)


def _transmitted(rng, b, change, relief, lean, **own) -> Look:
    return Look(
        gain=np.maximum(1 + b * change, 0.03),
        relief=None if relief is None else b * relief,
        lean=lean,
        background_texture=rng.uniform(0, 0.015),
        bits=(8, 8, 12),
        electrons=(1500, 40000),
        **own,
    )


def bright_field(rng, radial: Radial, b: np.ndarray) -> Look:
    """Transmitted light: refracting balls, dyed balls, thin outlines, near-focus."""
    u, p, r = rng.uniform, radial, radial.radius
    kind = _pick(rng, 0.3, 0.15, 0.2, 0.15, 0.1, 0.1)
    relief, lean = None, (0, 0)
    if kind == 0:
        rim = u(0.12, 0.4) * r
        shadow = u(0.5, 0.9) * p.ring(-0.55 * rim, 0.5 * rim) + u(0, 0.2) * p.inside
        light = u(0.1, 0.5) * p.bump(u(0.2, 0.45)) + u(0.02, 0.2) * p.ring(
            u(0.6, 0.14 * float(np.median(r)) + 1), u(0.6, 1.5)
        )
        change = light - shadow
    elif kind == 1:
        change = np.exp(-u(0.5, 2.2) * p.dome()) - 1
        change = change + u(0, 0.12) * p.ring(u(1, 2), u(0.7, 1.5))
    elif kind == 2:
        body = u(-0.15, 0.12)
        change = body * p.inside - u(0.3, 0.65) * p.ring(-0.5, u(0.7, 1.6))
        change = change + u(0.03, 0.25) * p.ring(u(1.2, 2.5), u(0.7, 1.5))
        if rng.random() < 0.5:
            change = change + u(0.03, 0.2) * p.ring(-u(2, 3.5), u(0.7, 1.5))
    elif kind == 3:
        change = u(0.3, 0.8) * p.bump(u(0.25, 0.5))
        change = change - u(0.5, 0.85) * p.ring(-0.15 * r, u(0.14, 0.24) * r)
        change = change + u(0.05, 0.25) * p.ring(u(0.1, 0.25) * r, 0.1 * r)
    elif kind == 4:  # a disc with a pale middle, as a red blood cell or a soft gel
        change = -u(0.15, 0.55) * (p.inside - u(0.2, 0.9) * p.bump(u(0.25, 0.45)))
        change = change - u(0, 0.2) * p.ring(-0.5, u(0.7, 1.6))
    else:  # light from one side: a bright and a dark flank
        change = u(-0.1, 0.1) * p.inside - u(0, 0.25) * p.ring(-0.5, u(0.7, 1.4))
        relief = p.ring(-u(0.05, 0.2) * r, u(0.08, 0.3) * r)
        lean = _lean(rng, 0.2, 0.6)
    own = {
        "background": u(0.5, 0.8),
        "texture": u(0, 0.12),
        "texture_period": u(1.5, 5),
    }
    return _transmitted(rng, b, change, relief, lean, **own)


def hydrogel(rng, radial: Radial, b: np.ndarray) -> Look:
    """Transmitted light through beads all but clear: a thin rim, often little more."""
    u, p, r = rng.uniform, radial, radial.radius
    width = u(0.4, 1.0) + u(0, 0.03) * r
    sign = 1.0 if rng.random() < 0.35 else -1.0
    rim = u(0.06, 0.5)
    change = sign * rim * p.ring(-width, width)
    if rng.random() < 0.7:  # the fringe beside it has the other sign
        change = change - sign * rim * u(0.2, 0.9) * p.ring(u(0.6, 1.5) * width, width)
    change = change + u(-0.12, 0.06) * p.inside
    if rng.random() < 0.4:
        change = change + u(0.02, 0.2) * p.bump(u(0.1, 0.35))
    relief, lean = None, (0, 0)
    if rng.random() < 0.5:  # lit from one side
        relief = p.ring(-u(0.05, 0.4) * r, u(0.1, 0.5) * r) * p.inside
        lean = _lean(rng, 0.05, 0.4)
    own = {
        "background": u(0.4, 0.8),
        "texture": u(0, 0.06),
        "texture_period": u(1.5, 8),
    }
    return _transmitted(rng, b, change, relief, lean, **own)


def foam(rng, radial: Radial, b: np.ndarray) -> Look:
    """Bubbles in transmitted light: dark walls, inside as bright as around.

    The walls belong to the liquid: the bubble is what they enclose.
    """
    u, p, r = rng.uniform, radial, radial.radius
    at, power = u(0.3, 0.9), u(0.3, 1.0)
    width = at * (r / float(np.median(r))) ** power * 0.12 * float(np.median(r))
    width = np.clip(width, 0.5, 0.3 * r)
    depth, middle = u(0.35, 0.95), u(-0.3, 0.8)
    dark = depth * np.maximum(
        p.ring(-middle * width, width), u(0, 0.6) * p.halo(u(0.5, 2) * width)
    )
    change = u(-0.15, 0.1) * p.inside - dark
    wall = middle * width + np.sqrt(width**2 + p.blur**2)
    if rng.random() < 0.3:
        change = change + u(0.05, 0.25) * p.bump(u(0.2, 0.5))
    return Look(
        background=u(0.6, 0.95), gain=np.maximum(1 + b * change, 0.03),
        texture=u(0, 0.08),
        texture_period=u(1.5, 6), background_texture=u(0, 0.02), bits=(8, 8, 12),
        electrons=(1000, 40000), wall=np.clip(wall, 0, 0.4 * r)[:, 0],
    )  # fmt: skip


def absorption(rng, radial: Radial, b: np.ndarray) -> Look:
    """Light stopped by dyed beads, or let through by holes: even discs, sharp edges."""
    u, p = rng.uniform, radial
    darker = rng.random() < 0.7
    background = u(0.4, 0.9) if darker else u(0.05, 0.4)
    change = -u(0.15, 0.95) if darker else u(0.3, 0.95 / background - 1)
    shade = 1 - u(0, 0.15) * np.minimum(p.rho, 1) ** 2
    return Look(
        background=background, gain=np.maximum(1 + b * change * p.inside * shade, 0.02),
        texture=u(0, 0.06), texture_period=u(1.5, 5), background_texture=u(0, 0.015),
        bits=(8, 8, 12), electrons=(1500, 40000), dark=not darker,
    )  # fmt: skip


def fluorescence(rng, radial: Radial, b: np.ndarray) -> Look:
    """Light adds up on a dark background: bodies filled, shell-dyed or flat."""
    u, p, r = rng.uniform, radial, radial.radius
    kind = _pick(rng, 0.55, 0.15, 0.3)
    if kind == 0:
        body = p.dome() ** u(0.5, 1.4)
    elif kind == 1:
        body = 0.9 * p.ring(-0.12 * r, u(0.08, 0.16) * r) + u(0.2, 0.55) * p.inside
    else:
        body = p.inside * (1 - u(0, 0.25) * p.rho**2)
    haze = u(0, 0.12) * p.halo(u(0.2, 0.6) * r)
    return Look(
        background=u(0.01, 0.12), gain=None, glow=u(0.5, 0.85) * b * (body + haze),
        texture=u(0, 0.4) * u(0, 0.5) * (kind == 2) + u(0, 0.06),
        texture_period=u(2, 6), background_texture=u(0, 0.15), bits=(8, 12, 16),
        electrons=(200, 8000), dark=True,
    )  # fmt: skip


def phase_contrast(rng, radial: Radial, b: np.ndarray) -> Look:
    """Mid-grey background, dark or bright bodies with the halo of the other sign."""
    u, p, r = rng.uniform, radial, radial.radius
    sign = -1.0 if rng.random() < 0.65 else 1.0
    shade = u(0, 0.5)
    change = sign * u(0.25, 0.55) * p.inside * (1 - shade * (1 - p.dome()))
    change = change - sign * u(0.2, 0.6) * p.halo(u(0.12, 0.4) * r + 0.5)
    change = change - u(0.1, 0.4) * p.ring(-0.5, u(0.6, 1.4))
    if rng.random() < 0.4:
        change = change + u(0.2, 0.6) * p.bump(u(0.15, 0.35))
    return Look(
        background=u(0.35, 0.55), gain=np.maximum(1 + b * change, 0.05),
        texture=u(0, 0.2),
        texture_period=u(2, 6), background_texture=u(0, 0.025), bits=(8, 8, 12),
        electrons=(1500, 40000),
    )  # fmt: skip


def reflected_light(rng, radial: Radial, b: np.ndarray) -> Look:
    """Opaque balls lit from above: matt with highlights, ring-lit, or metal."""
    u, p = rng.uniform, radial
    kind = _pick(rng, 0.6, 0.2, 0.2)
    turn, tilt = u(0, 2 * np.pi), u(0.15, 0.55)
    dy, dx = tilt * np.sin(turn), tilt * np.cos(turn)
    spots = [(dy, dx, u(0.03, 0.09), u(0.15, 0.5))]
    if rng.random() < 0.4:
        spots.append((-0.6 * dx, 0.6 * dy, u(0.06, 0.15), u(0.03, 0.1)))
    background = u(0.05, 0.2)
    limb = 1 - u(0.05, 0.35) * np.minimum(p.rho, 1.2) ** 4
    body = u(0.4, 0.7) * limb
    if kind == 1:
        body = background + u(0.15, 0.3) * limb
        at, width = u(0.12, 0.4) * p.radius, u(0.05, 0.09) * p.radius
        body = body + u(0.15, 0.4) * p.ring(-at, width)
        spots = []
    elif kind == 2:
        background = u(0.35, 0.6)
        body = background * (u(0.2, 0.45) + u(0.3, 0.9) * p.bump(u(0.15, 0.35)))
    if rng.random() < 0.35 and kind == 0:
        spots = []
    glow = p.inside * (background + b * (body - background))
    return Look(
        background=background, gain=1 - p.inside - u(0, 0.2) * p.halo(2.0), glow=glow,
        lean=(u(-0.12, 0.12), u(-0.12, 0.12)), spots=tuple(spots),
        texture=u(0, 0.07) * u(0, 1), texture_period=u(1.2, 4),
        background_texture=u(0, 0.06), grain=u(0, 0.03), bits=(8, 8, 12),
        electrons=(800, 20000), dark=kind < 2,
    )  # fmt: skip


def scanning_electron(rng, radial: Radial, b: np.ndarray) -> Look:
    """Secondary electrons: edges glow, contacts and what lies near are shadowed."""
    u, p, r = rng.uniform, radial, radial.radius
    background = u(0.05, 0.5)
    body = background + u(0.2, 0.45)
    if rng.random() < 0.75:
        slope = 1 / np.sqrt(np.maximum(1 - np.minimum(p.rho, 1) ** 2, 0.03))
        shade = 1 + u(0.03, 0.16) * (slope - 1)
        shade = shade + u(0, 0.35) * p.ring(-0.6, u(0.5, 0.06 * float(r.mean()) + 0.6))
    else:
        # Down to half the contrast at most: the outline stays brighter than the
        # background.
        fall = (1 - background / body) * u(0.2, 0.5)
        shade = 1 - fall * np.minimum(p.rho, 1.1) ** 2
    # Where balls touch, detectors see little: a dark seam parts them.
    shade = shade * (1 - u(0, 0.5) * p.ring(0.6, u(0.5, 1.0)))
    glow = p.inside * (background + b * (np.minimum(body * shade, 1.1) - background))
    shadow = u(0, 0.5) * p.halo(u(0.1, 0.5) * r)
    lean = _lean(rng, 0, 0.3)
    return Look(
        background=background, gain=1 - p.inside - shadow, glow=glow,
        lean=lean, texture=u(0, 0.4) * u(0, 0.4),
        texture_period=u(1.2, 5), background_texture=u(0, 0.05), grain=u(0, 0.05),
        light=False,
        bits=(8, 8, 8, 16), electrons=(300, 8000), dark=True,
    )  # fmt: skip


def transmission_electron(rng, radial: Radial, b: np.ndarray) -> Look:
    """Shadows on a bright grainy background; they deepen where beads overlap."""
    u, p, r = rng.uniform, radial, radial.radius
    kind = _pick(rng, 0.45, 0.35, 0.2)
    if kind == 0:
        depth = u(0.5, 1.3) * p.dome() ** u(0.3, 0.8)
    elif kind == 1:
        depth = u(1.2, 3.0) * p.dome() ** u(0.4, 1.0)
    else:  # hollow: the wall is thickest along the line of sight at its inner edge
        depth = u(0.25, 0.6) * p.inside
        depth = depth + u(0.4, 1.0) * p.ring(-0.14 * r, u(0.06, 0.1) * r)
    fringe = u(0, 0.2) * p.ring(u(0.8, 1.6), u(0.5, 1.0))
    period = u(1.2, 1.2 + 0.25 * float(np.median(r)))
    texture = u(0, 0.3) * u(0.1, 1) / max(1.0, period / 2.5)
    return Look(
        background=u(0.5, 0.85), gain=(1 - b + b * np.exp(-depth)) * (1 + b * fringe),
        texture=texture, texture_period=period, background_texture=u(0, 0.03),
        grain=u(0.005, 0.06), bits=(8, 8, 8, 16), electrons=(400, 8000),
    )  # fmt: skip


LOOKS = {
    "absorption": absorption,
    "bright_field": bright_field,
    "fluorescence": fluorescence,
    "foam": foam,
    "hydrogel": hydrogel,
    "phase_contrast": phase_contrast,
    "reflected_light": reflected_light,
    "scanning_electron": scanning_electron,
    "transmission_electron": transmission_electron,
}
