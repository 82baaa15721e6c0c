"""Masks that are a model's own proposals are told from those of a person."""

import json
import os

from beadseg.data.masks.provenance import proposed


def write(folder, name, accepted, manual, rejected=0):
    beads = [("model", True)] * accepted + [("person", True)] * manual
    beads += [("model", False)] * rejected
    content = {
        "beads": {
            str(n): {"origin": origin, "in_mask": in_mask, "run": "runs/first"}
            for n, (origin, in_mask) in enumerate(beads, 1)
        }
    }
    file = folder / "provenance" / f"{name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content))


def test_masks_that_are_mostly_accepted_proposals_are_named(tmp_path):
    write(tmp_path, "a", accepted=30, manual=10)
    write(tmp_path, "b", accepted=10, manual=10, rejected=50)
    write(tmp_path, "c", accepted=8, manual=2)
    found = proposed(tmp_path, ["c", "b", "a", "d"])
    assert found.images == ("a", "c")
    assert (found.accepted, found.beads) == (38, 50)
    said = found.sentence("validation")
    assert said.startswith("circular: 2 masks of validation are mostly accepted")
    assert "runs/first" in said and "38 of 50 beads" in said


def test_masks_of_a_person_are_said_nothing_about(tmp_path):
    assert proposed(tmp_path, ["a"]).sentence("validation") == ""
    write(tmp_path, "a", accepted=1, manual=5)
    (tmp_path / "provenance" / "b.json").write_text("{")
    (tmp_path / "provenance" / "c.json").write_text("[" * 100_000)
    os.mkfifo(tmp_path / "provenance" / "d.json")
    assert proposed(tmp_path, "abcd").sentence("validation") == ""
