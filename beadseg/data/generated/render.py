"""Generated microscope images with exact instance truth.

`generate(settings, seed, index)` depends on its arguments alone, so that image i is
the same whatever was drawn before it, in whatever process. Truth is the geometric
outline of each bead, cut by the beads on top of it; blur, light and noise do not move
it. Debris, dust, bubbles, scratches and bars are background; a scale bar drawn over a
bead leaves its label, a data bar below a micrograph is outside the scene.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from beadseg.data.generated import artefacts, camera, mitochondria
from beadseg.data.generated.fields import smooth_noise
from beadseg.data.generated.optics import LOOKS, RESOLUTION, Look, Radial, of_beads
from beadseg.data.generated.outlines import LEAST, VISIBLE, Outlines, Patch, patches
from beadseg.data.generated.scene import lay_out, thin_out, within_walls
from beadseg.data.generated.settings import PRESETS, GeneratedSettings
from beadseg.data.masks.beads import BEAD_TABLE, crowding, numbered_anew, on_border
from beadseg.data.scaling import background

__all__ = ["GeneratedImage", "GeneratedSettings", "generate"]

# Diameters of beads, um, that each kind of microscope is used for.
_FEW = 25  # beads of an all but empty field, at most
_SEEN = 0.01  # share of the signal by which dust changes a pixel that shows it
_DIAMETER = {"scanning_electron": (0.1, 20), "transmission_electron": (0.03, 1)}


class GeneratedImage(NamedTuple):
    """One image and all that is known about it."""

    image: np.ndarray  # uint8 or uint16 [H, W]
    labels: np.ndarray  # int32 [H, W], 0 background, 1..N, each of at least one pixel
    beads: np.ndarray  # BEAD_TABLE[N], row i describes label i + 1
    dust: np.ndarray  # bool[H, W], round dust, or walls without a bubble: unknown
    modality: str
    bits: int  # depth of the camera: 8, 12 or 16
    pixel_size: float  # um


def generate(settings: GeneratedSettings, seed: int, index: int) -> GeneratedImage:
    """Draws image `index` of the endless set that `settings` and `seed` stand for.

    Raises:
      BeadsegError: the ranges of `settings` contradict each other.
    """
    rng = np.random.default_rng([seed, index])
    if settings.preset == "mitochondria":
        return _tissue(settings, rng)
    modality = str(rng.choice(settings.modalities))
    height = settings.size
    if modality == "scanning_electron" and rng.random() < 0.2 * settings.artefacts:
        height -= max(9, round(rng.uniform(0.05, 0.09) * settings.size))
    outlines, labels = lay_out(_scene(settings, rng, modality), rng, height)
    brightness, blur = _conditions(
        settings, rng, outlines.radius, modality == "fluorescence"
    )
    typical = float(np.median(outlines.radius))
    reach = float(np.clip(0.7 * typical + 2.5 * blur.max(), 6, 24))
    look = LOOKS[modality](
        rng, Radial(outlines.radius, blur, reach), brightness[:, None]
    )
    bits = int(rng.choice(look.bits))
    left = _left(settings, rng, len(outlines.y))
    if left is not None:
        look, brightness, blur = of_beads(look, left), brightness[left], blur[left]
        outlines, labels = thin_out(outlines, left, settings.size, height)
    low, high = np.log(_DIAMETER.get(modality, (2, 100)))
    pixel_size = float(np.exp(rng.uniform(low, high)) / (2 * typical))

    if _chance(rng, settings.clean_share):
        settings = replace(
            settings, noise=min(settings.noise, 0.05), texture=0.0, artefacts=0.0
        )
    dust = np.zeros(labels.shape, bool)
    signal = _draw(settings, rng, outlines, look, reach, typical, dust)
    if look.wall is not None:
        outlines, labels, kept, full = within_walls(
            outlines, look.wall, settings.size, height
        )
        dust |= full
        brightness, blur = brightness[kept], blur[kept]
    chance = settings.artefacts * (typical > 8)  # dust would be as large as the beads
    if modality == "hydrogel" and left is None and rng.random() < 0.7 * chance:
        artefacts.add_specks(signal, rng, typical)
        artefacts.add_rings(signal, rng, typical)
    if _chance(rng, settings.dirt_share):
        artefacts.add_dirt(signal, rng, typical, look.dark)
    if _chance(rng, settings.few_counts_share):
        few = float(np.exp(rng.uniform(np.log(0.01), np.log(0.3))))
        look = look._replace(electrons=tuple(few * e for e in look.electrons))
    image = _record(settings, rng, signal, look, typical, bits)
    white = 2**bits - 1
    if _chance(rng, settings.soft_noise_share):
        camera.add_soft_noise(image, rng, white)
    electron = modality.endswith("electron")
    if bits == 8 and not electron and _chance(rng, settings.video_share):
        image = np.array(camera.video_frame(image, rng))
    if _chance(rng, settings.defect_share):
        camera.add_defects(image, rng, white)
    if height < settings.size:
        artefacts.burn_data_bar(image, rng, height, pixel_size, white)
    elif rng.random() < (0.4 if electron else 0.12) * settings.artefacts:
        artefacts.burn_scale_bar(image, rng, pixel_size, white)
    hidden = None
    if _chance(rng, settings.lettering_share):
        hidden = artefacts.add_lettering(image, rng, white)
    if bits == 8 and rng.random() < settings.jpeg_share:
        image = camera.jpeg_blocks(image, rng.uniform(35, 90))
    beads = _table(outlines, labels, brightness, blur)
    if hidden is not None:
        labels, beads = _hide(labels, beads, hidden)
    return GeneratedImage(image, labels, beads, dust, modality, bits, pixel_size)


def _scene(settings, rng, modality: str) -> GeneratedSettings:
    """The ranges of the scene: foam is dense, and no scene is laid out without beads.

    Those that are to be empty lose their beads when it is known how beads would look.
    """
    if settings.beads == (0, 0):
        settings = replace(settings, beads=PRESETS[settings.preset]["beads"])
    if modality == "foam" and rng.random() < 0.8:
        most = settings.beads[1] * np.pi * (settings.radius[1] / settings.size) ** 2
        lowest = min(0.45, settings.coverage[1], 0.5 * most)
        coverage = (lowest, max(settings.coverage[1], lowest))
        wide = 0.7 if settings.wide_share else 0.0
        return replace(settings, coverage=coverage, wide_share=wide, overlap=(0, 0.05))
    return settings


def _left(settings, rng, number: int) -> np.ndarray | None:
    """Which beads an all but empty field keeps, i[M]; None: the field is none."""
    if settings.beads == (0, 0):
        return np.zeros(0, int)
    if not _chance(rng, settings.empty_share):
        return None
    few = 0 if rng.random() < 0.45 else round(np.exp(rng.uniform(0, np.log(_FEW))))
    return np.sort(rng.choice(number, min(few, number), replace=False))


def _conditions(settings, rng, radius, soft: bool) -> tuple[np.ndarray, np.ndarray]:
    number = len(radius)
    spread = settings.contrast_spread * rng.random()
    brightness = 1 - spread * rng.random(number)

    def share(limits):
        return limits[0] + (limits[1] - limits[0]) * max(0.0, 1.7 * rng.random() - 0.7)

    dim = rng.random(number) < share(settings.dim_share)
    brightness = np.where(dim, rng.uniform(*settings.dim, number), brightness)
    focus = rng.uniform(*settings.blur) * (1 + 0.7 * soft * rng.random())
    blur = np.minimum(focus, settings.softness * radius)
    blurred = rng.random(number) < share(settings.blurred_share)
    extra = rng.uniform(*settings.defocus, number) * radius
    return brightness, np.where(blurred, np.hypot(blur, extra), blur)


def _draw(settings, rng, outlines, look: Look, reach, typical, dust) -> np.ndarray:
    """The signal f32[size, size]; marks in `dust`, bool likewise, what is dust."""
    size = settings.size
    signal = np.full((size, size), look.background, np.float32)
    chance = settings.artefacts
    if settings.texture * look.background_texture > 0.004:
        coarse = smooth_noise(rng, size, rng.uniform(2, 12))
        signal *= 1 + np.float32(settings.texture * look.background_texture) * coarse
    wet = look.light and not look.dark and look.grain == 0
    if wet and rng.random() < 0.06 * chance * settings.bubbles:
        artefacts.add_bubbles(signal, rng, typical)
    if look.light and rng.random() < 0.3 * chance:
        before = signal.copy()
        artefacts.add_dust(signal, rng, typical)
        dust |= np.abs(signal - before) > _SEEN * before
    if rng.random() < 0.35 * chance:
        artefacts.add_debris(signal, rng, typical, look.dark, settings.debris)
    draw_beads(settings, rng, signal, outlines, look, reach)
    if rng.random() < 0.08 * chance:
        artefacts.add_scratches(signal, rng)
    return signal


def draw_beads(
    settings: GeneratedSettings,
    rng: np.random.Generator,
    signal: np.ndarray,
    outlines: Outlines,
    look: Look,
    reach: float,
) -> None:
    """Adds beads to `signal` f32[H, H] in place, in order, each `reach` px around."""
    size = len(signal)
    amount = np.float32(settings.texture * look.texture)
    if amount > 0.01:
        surface = 1 + amount * smooth_noise(rng, size, look.texture_period)
        np.maximum(surface, 0.05, out=surface)
        corners = rng.random((len(outlines.y), 2))
    resolution = np.float32(RESOLUTION)
    for i, patch in enumerate(patches(outlines, size, reach)):
        place = (patch.distance * resolution).astype(np.intp)
        below, radius = signal[patch.box], outlines.radius[i]
        grain = None
        if amount > 0.01:
            h, w = place.shape
            top, left = (corners[i] * (size - h + 1, size - w + 1)).astype(int)
            grain = surface[top : top + h, left : left + w]
        if look.gain is not None:
            gain = look.gain[i].take(place, mode="clip")
            if grain is not None and look.glow is None:
                gain = 1 + (gain - 1) * grain
            if look.relief is not None:
                gain += look.relief[i].take(place, mode="clip") * _slope(
                    look, patch, radius
                )
            below *= gain
        if look.glow is not None:
            glow = look.glow[i].take(place, mode="clip")
            if grain is not None:
                glow *= grain
            if look.lean != (0, 0):
                glow *= 1 + _slope(look, patch, radius)
            for dy, dx, width, level in look.spots:
                wide = max(width * radius, 0.6)
                y = (patch.dy - np.float32(dy * radius)) ** 2
                x = (patch.dx - np.float32(dx * radius)) ** 2
                fall = np.float32(-0.5 / wide**2)
                glow += np.float32(level) * np.exp(fall * y) * np.exp(fall * x)
            below += glow


def _slope(look: Look, patch: Patch, radius: float) -> np.ndarray:
    down, right = np.float32(np.divide(look.lean, radius))
    return np.clip(patch.dy * down + patch.dx * right, -0.6, 0.6)


def _record(settings, rng, signal, look: Look, typical, bits: int) -> np.ndarray:
    size = settings.size
    if settings.haze > 0 and look.light and look.gain is None:
        spread = rng.uniform(1.5, 6) * typical
        haze = settings.haze * rng.random() ** 2
        signal += np.float32(haze) * background(signal, spread)
    loss = settings.uneven * rng.random() ** 1.5 * (1.0 if look.light else 0.4)
    if look.light and rng.random() < 0.1:
        loss = min(1.5 * settings.uneven, 0.85)  # the edge of the field of view
    if loss > 0.02:
        signal *= camera.light_field(rng, size, loss)
    if look.light and _chance(rng, settings.aperture_share):
        signal *= camera.aperture(rng, size)
    grain = settings.noise * look.grain
    if grain > 0.008:
        signal *= 1 + np.float32(grain) * smooth_noise(rng, size, rng.uniform(1.2, 2.2))
    return camera.expose(
        signal,
        rng,
        bits=bits,
        electrons=float(np.exp(rng.uniform(*np.log(look.electrons)))),
        read=rng.uniform(0.002, 0.012),
        noise=settings.noise,
        saturate=rng.random() < settings.saturated_share,
    )


def _table(outlines: Outlines, labels, brightness, blur) -> np.ndarray:
    beads = np.zeros(len(outlines.y), BEAD_TABLE)
    beads["label"] = np.arange(1, len(beads) + 1)
    for field in ("y", "x", "radius"):
        beads[field] = getattr(outlines, field)
    beads["brightness"], beads["blur"] = brightness, blur
    beads["crowding"] = crowding(outlines.y, outlines.x, outlines.radius)
    beads["touches_border"] = np.isin(beads["label"], on_border(labels))
    return beads


def _chance(rng, share: float) -> bool:
    """Draws nothing at 0: a share that is off leaves the images as they were."""
    return share > 0 and rng.random() < share


def _hide(labels, beads, hidden) -> tuple[np.ndarray, np.ndarray]:
    """The truth without what lies under `hidden`; beads of few visible px are lost."""
    before = np.bincount(labels.ravel(), minlength=len(beads) + 1)[1:]
    labels = labels.copy()
    labels[hidden] = 0
    seen = np.bincount(labels.ravel(), minlength=len(beads) + 1)[1:]
    kept = seen >= np.maximum(LEAST, VISIBLE * before)
    if len(kept) and not kept.any():
        kept[np.argmax(seen)] = True
    beads = beads[kept]
    labels = numbered_anew(labels, kept)
    beads["label"] = np.arange(1, len(beads) + 1)
    beads["touches_border"] = np.isin(beads["label"], on_border(labels))
    return labels, beads


def _tissue(settings, rng) -> GeneratedImage:
    signal, labels, beads = mitochondria.draw(settings, rng)
    loss = settings.uneven * 0.5 * rng.random()
    if loss > 0.02:
        signal *= camera.light_field(rng, settings.size, loss)
    image = camera.expose(
        signal,
        rng,
        bits=8,
        electrons=float(np.exp(rng.uniform(*np.log((400, 4000))))),
        read=0.01,
        noise=settings.noise,
        saturate=False,
    )
    pixel_size = float(rng.uniform(0.004, 0.012))
    dust = np.zeros(labels.shape, bool)
    return GeneratedImage(image, labels, beads, dust, "tissue_section", 8, pixel_size)
