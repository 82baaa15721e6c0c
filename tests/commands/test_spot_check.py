"""`evaluate` on masks without a given completeness: short ones are named, whole ones
pass.
"""

import json

import numpy as np
import pytest
import tifffile

from beadseg.data.generated.damage import damage_labels
from beadseg.data.generated.render import GeneratedSettings, generate
from tests.calls import exit_code

SETTINGS = GeneratedSettings(
    size=160, modalities=("fluorescence",), beads=(30, 60), radius=(6, 9), artefacts=0.0
)


@pytest.mark.slow
@pytest.mark.parametrize("dropped", [0.0, 0.5])
def test_masks_that_seem_to_lack_beads_are_said_to(tmp_path, capsys, dropped):
    for index in range(2):
        drawn = generate(SETTINGS, 11, index)
        rng = np.random.default_rng(index)
        mask = damage_labels("drop_random", dropped, drawn.labels, drawn.beads, rng)
        for kind, array in (
            ("data/images", drawn.image),
            ("data/masks", mask.astype(np.uint16)),
            ("pred/labels", drawn.labels.astype(np.uint16)),
        ):
            file = tmp_path / kind / f"i{index}.tif"
            file.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(file, array)
    command = ("evaluate", tmp_path / "pred", tmp_path / "data", "--json")
    assert exit_code(*command, tmp_path / "e.json") == 0
    found, said = json.loads((tmp_path / "e.json").read_text()), capsys.readouterr().out
    if not dropped:
        assert found["if_incomplete"] is None and found["doubts"] == []
        return
    assert found["pooled"]["f1"][0] == pytest.approx(2 / 3, abs=0.02)
    assert found["if_incomplete"]["f1"][0] > 0.9
    assert "the masks seem to label only about" in said
