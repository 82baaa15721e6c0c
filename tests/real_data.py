"""Sets of real images, found by name in the folders of BEADSEG_REAL_DATA."""

import os
from pathlib import Path

VARIABLE = "BEADSEG_REAL_DATA"
SETS = (  # that hold images
    "bbbc007_sparse_labels",
    "beadnet_latex_dev",
    "brightfield_dilution_dev",
    "bubbles_dev",
    "dsb2018_nuclei_dev",
    "emps_spheres_dev",
    "microgels_bf_dev",
    "odd_formats_unlabelled",
    "polymer_beads_lm_unlabelled",
    "vnc_mitochondria_em",
)


def real_set(name: str) -> Path:
    """The folder of a set of real images, such as "emps_spheres_dev".

    `BEADSEG_REAL_DATA` lists folders that hold sets, separated as in PATH. The first
    that holds the set counts.

    Raises:
      FileNotFoundError: no folder holds the set, or none is given.
    """
    folders = [Path(f) for f in os.environ.get(VARIABLE, "").split(os.pathsep) if f]
    for folder in folders:
        if (folder / name).is_dir():
            return folder / name
    if not folders:
        raise FileNotFoundError(f"no real images '{name}': {VARIABLE} is unset")
    where = ", ".join(map(str, folders))
    raise FileNotFoundError(f"no real images '{name}' in {where} ({VARIABLE})")
