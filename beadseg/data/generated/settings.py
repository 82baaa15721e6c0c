"""What a generated image may look like; every range is a field with its unit."""

from dataclasses import dataclass

from beadseg.errors import BeadsegError

MODALITIES = (
    "bright_field",
    "fluorescence",
    "phase_contrast",
    "reflected_light",
    "scanning_electron",
    "transmission_electron",
)
# Drawn where a preset or `modalities` names them: large beads that are all but clear,
# bubbles side by side, and even discs.
MORE_MODALITIES = ("hydrogel", "foam", "absorption")
PATTERNS = ("scattered", "clusters", "chains", "crystal")
# Of the preset "beads", and of "varied": whatever a lab may put under a microscope, on
# which the default model is trained.
_RANGES = {
    "beads": ((20, 150), (1, 900)),
    "coverage": ((0.05, 0.65), (0.01, 0.8)),
    "radius": ((4.0, 40.0), (2.5, 150.0)),
    "polydispersity": ((0.0, 0.4), (0.0, 0.6)),
    "overlap": ((0.0, 0.25), (0.0, 0.4)),
    "overlap_share": (0.25, 0.4),
    "irregular_share": (0.35, 0.5),
    "ellipticity": (0.4, 2.5),
    "roughness": (0.04, 0.07),
    "satellite_share": (0.0, 0.15),
    "wide_share": (0.0, 0.2),
    "empty_share": (0.0, 0.28),
    "blur": ((0.5, 1.2), (0.4, 2.5)),
    "softness": (0.3, 0.8),
    "dim": ((0.3, 0.5), (0.15, 0.5)),
    "contrast_spread": (0.25, 0.6),
    "texture": (1.0, 2.0),
    "uneven": (0.55, 0.7),
    "haze": (0.0, 0.5),
    "aperture_share": (0.0, 0.1),
    "lettering_share": (0.0, 0.2),
    "video_share": (0.0, 0.35),
    "debris": (99.0, 1.6),
    "bubbles": (1.0, 0.0),
    "dirt_share": (0.0, 0.1),
    "defect_share": (0.0, 0.15),
    "few_counts_share": (0.0, 0.1),
    "soft_noise_share": (0.0, 0.25),
    "clean_share": (0.0, 0.25),
    "jpeg_share": (0.12, 0.25),
}
_BEADS, _VARIED = ({k: pair[i] for k, pair in _RANGES.items()} for i in (0, 1))
PRESETS = {
    "beads": _BEADS,
    "varied": _VARIED | {"modalities": (*MODALITIES, *MORE_MODALITIES, "bright_field")},
    "mitochondria": _BEADS | {"beads": (2, 3), "coverage": (0.05, 0.15)},
}


@dataclass(frozen=True)
class GeneratedSettings:
    """The ranges that generated images are drawn from.

    A pair is (lowest, highest), drawn once an image unless said otherwise. A field left
    at None takes the value of the preset. `beads` and `coverage` hold for the visible
    truth of nearly every image: a scene outside them is laid out again up to
    `scene.ATTEMPTS` times, then the nearest one is taken.

    Raises:
      BeadsegError: an unknown preset, modality or pattern, or a range upside down.
    """

    preset: str = "beads"  # or "varied", or "mitochondria": few, branching, in tissue
    size: int = 256  # px, side of the square image
    modalities: tuple[str, ...] = ()  # of MODALITIES or MORE_MODALITIES; (): preset's
    patterns: tuple[str, ...] = ()  # of PATTERNS; (): all; "beads" only
    beads: tuple[int, int] | None = None  # objects per image; (0, 0): none at all
    coverage: tuple[float, float] | None = None  # share of pixels
    radius: tuple[float, float] | None = None  # px, of the typical bead of an image
    polydispersity: tuple[float, float] | None = None  # std over mean of the radii
    overlap: tuple[float, float] | None = None  # share of r_i + r_j that may overlap
    overlap_share: float | None = None  # of images where beads overlap by more than 2 %
    irregular_share: float | None = None  # of images whose beads are not quite round
    ellipticity: float | None = None  # largest (long / short axis) - 1
    roughness: float | None = None  # largest relative standard deviation of the outline
    satellite_share: float | None = None  # of images with tiny beads beside the others
    wide_share: float | None = None  # of images with sizes over a factor of 4 to 20
    empty_share: float | None = None  # of images left with few of their beads, or none
    blur: tuple[float, float] | None = None  # px in focus; fluorescence to 1.7x
    softness: float | None = None  # largest blur in focus, of the radius of the bead
    defocus: tuple[float, float] = (0.12, 0.35)  # of the radius, a blurred bead
    blurred_share: tuple[float, float] = (0.0, 0.2)  # of the beads; often the lowest
    dim: tuple[float, float] | None = None  # contrast of a dim bead, full beads are 1
    dim_share: tuple[float, float] = (0.0, 0.2)  # of the beads; often the lowest
    contrast_spread: float | None = None  # largest spread of contrast among the others
    texture: float | None = None  # factor on the grain of surfaces and backgrounds
    uneven: float | None = None  # largest share of the light lost between two places
    haze: float | None = None  # largest share of fluorescence spread over radii around
    aperture_share: float | None = None  # of light images seen in a round field of view
    lettering_share: float | None = None  # of images with letters and bars of a figure
    video_share: float | None = None  # of light images that are enlarged video frames
    debris: float | None = None  # px, largest radius of a speck
    bubbles: float | None = None  # factor on the chance of air bubbles
    dirt_share: float | None = None  # of images with dirt of far more contrast
    defect_share: float | None = None  # of images with hot pixels, columns or stripes
    few_counts_share: float | None = None  # of images of few quanta
    soft_noise_share: float | None = None  # of images with noise that pixels share
    clean_share: float | None = None  # of images all but without noise and texture
    artefacts: float = 1.0  # factor on the chances of debris, dust, scratches, bars...
    noise: float = 1.0  # factor on shot and read noise
    saturated_share: float = 0.08  # of images with clipped highlights
    jpeg_share: float | None = None  # of 8-bit images with the blocks of JPEG

    def __post_init__(self):
        if self.preset not in PRESETS:
            raise BeadsegError(
                f"unknown preset {self.preset!r} of generated images: choose one of "
                f"{', '.join(PRESETS)}"
            )
        for what, given, known in (
            ("modality", self.modalities, (*MODALITIES, *MORE_MODALITIES)),
            ("pattern", self.patterns, PATTERNS),
        ):
            for name in given:
                if name not in known:
                    raise BeadsegError(
                        f"unknown {what} {name!r} of generated images: choose among "
                        f"{', '.join(known)}"
                    )
        default = {"modalities": MODALITIES, "patterns": PATTERNS}
        default |= PRESETS[self.preset]
        for field, value in default.items():
            if getattr(self, field) in (None, ()):
                object.__setattr__(self, field, value)
        for name, value in vars(self).items():
            if isinstance(value, tuple) and not isinstance(value[0], str):
                if len(value) != 2 or not 0 <= value[0] <= value[1]:
                    raise BeadsegError(
                        f"{name} = {value} of generated images: give (lowest, highest)"
                    )
        few = self.beads[0] < 1 and self.beads != (0, 0)
        if few or self.coverage[1] > 1:
            raise BeadsegError(
                f"generated images: beads = {self.beads}, coverage = {self.coverage}: "
                "give at least 1 bead, or (0, 0), and a share of at most 1"
            )
        if self.size < 32:
            raise BeadsegError(
                f"size = {self.size} px of generated images: give at least 32"
            )
