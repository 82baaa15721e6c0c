"""Settings, columns and modules that older versions named otherwise, old to today's.

Files keep the names they were written with. What reads a run, a sweep or a table takes
them through here, so that old runs resume and predict and old tables are compared.
Scripts that import a module by its old place still do, unless that is now a wing of
the same name.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

# Fields of a config, by dotted names; and values of fields.
FIELDS: dict[str, str] = {
    "partial.rounds": "partial.self_training",
    "train.shares_of_start": "train.weight_interpolation",
}
VALUES: dict[str, dict[str, str]] = {
    "loss.name": {"likelihood": "forward_bce", "likelihood_dice": "forward_bce_dice"},
    "partial.method": {
        "likelihood": "forward_bce",
        "likelihood_dice": "forward_bce_dice",
    },
}
# Columns of tables, and keys of metrics.jsonl and summary.json.
COLUMNS: dict[str, str] = {
    "major_px": "major_axis_px",
    "minor_px": "minor_axis_px",
    "major_um": "major_axis_um",
    "minor_um": "minor_axis_um",
    "probability": "mean_probability",
    "count_corrected": "edge_corrected_count",
    "diameter_iqr_px": "iqr_diameter_px",
    "diameter_iqr_um": "iqr_diameter_um",
    "jaccard_at_half": "jaccard_at_0.5",
    "best_jaccard_at_half": "best_jaccard_at_0.5",
    "missed": "false_negative",
    "invented": "false_positive",
}


_MOVED = {  # wing: modules that stood in its room
    "analysis.diagnosis": "curve_signs evidence image_signs run_evidence signs",
    "data.generated": "artefacts camera damage fields mitochondria optics outlines "
    "scene",
    "data.images": "gaps makers pixel_size pixels raster reading tiff units",
    "data.masks": "beads checkup decoded encodings few_numbers instances labels "
    "many_numbers marked marks mask_fit necks points provenance",
    "inference.export": "bioimage_package onnx_graph",
    "inference.networks": "tiles",
    "inference.outputs": "measure overlay writers",
    "inference.pyramid": "bead_scores compose grid size suppression",
    "inference.scores": "evaluation incomplete pair_scores pairing trained_on",
    "partial.review": "actions derived label_map strokes",
    "training.tracking": "clock pictures summary wandb_mode",
}
_RENAMED = {
    "analysis.views": "inference.outputs.views",
    "data.generated_settings": "data.generated.settings",
    "data.hills": "data.masks.watershed",
    "data.threads": "threads",
    "partial.book": "partial.review.annotation_log",
    "partial.desk": "partial.review.session",
    "partial.rounds": "partial.self_training",
}
MODULES = {
    f"{wing.split('.')[0]}.{name}": f"{wing}.{name}"
    for wing, names in _MOVED.items()
    for name in names.split()
} | _RENAMED
# Of a module: names that are others now.
NAMES = {"partial.review.annotation_log": {"Book": "AnnotationLog"}}


def point(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted names, as of a sweep: {"optim.learning_rate": 1e-3}."""
    named = {FIELDS.get(field, field): value for field, value in fields.items()}
    return {field: _value(field, value) for field, value in named.items()}


def settings(tree: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a run, as nested dicts."""
    new = {k: dict(v) if isinstance(v, Mapping) else v for k, v in tree.items()}
    for old, today in FIELDS.items():
        (room, name), (new_room, new_name) = old.split("."), today.split(".")
        if isinstance(new.get(room), dict) and name in new[room]:
            new.setdefault(new_room, {})[new_name] = new[room].pop(name)
    for field in VALUES:
        room, name = field.split(".")
        if isinstance(new.get(room), dict) and name in new[room]:
            new[room][name] = _value(field, new[room][name])
    return new


def row(cells: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a table, or what came of a run."""
    return {COLUMNS.get(name, name): value for name, value in cells.items()}


def argument(text: str) -> str:
    """An argument of a command line: --config.FIELD=VALUE, or --config.FIELD."""
    flag, equals, value = text.partition("=")
    dashes, config, field = flag.partition("config.")
    if not config or dashes not in ("-", "--"):
        return text
    field = FIELDS.get(field, field)
    return f"{dashes}{config}{field}{equals}{_value(field, value)}"


def first_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted names as a run of the oldest version had them: for its KEY."""
    before = {today: old for old, today in FIELDS.items()}
    values = {field: {v: k for k, v in of.items()} for field, of in VALUES.items()}
    return {
        before.get(field, field): values.get(field, {}).get(value, value)
        if isinstance(value, str)
        else value
        for field, value in fields.items()
    }


def content(name: str, stored: Any) -> Any:
    """What the JSON file `name` of a run or sweep holds."""
    return _FILES.get(name, lambda same: same)(stored)


def _value(field: str, value: Any) -> Any:
    if isinstance(value, str):
        return VALUES.get(field, {}).get(value, value)
    return value


def _sweep(stored: dict[str, Any]) -> dict[str, Any]:
    new = dict(stored)
    if isinstance(new.get("config"), dict):
        new["config"] = point(new["config"])
    if isinstance(new.get("points"), list):
        new["points"] = [point(p) if isinstance(p, dict) else p for p in new["points"]]
    return new


_FILES: dict[str, Callable[[Any], Any]] = {
    "config.json": settings,
    "summary.json": row,
    "sweep.json": _sweep,
}


class _Old(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module by its old place, after all others have looked."""

    def find_spec(self, name, path=None, target=None):
        if name.removeprefix("beadseg.") in MODULES:
            return importlib.machinery.ModuleSpec(name, self)
        return None

    def create_module(self, spec) -> ModuleType:
        place = MODULES[spec.name.removeprefix("beadseg.")]
        today = importlib.import_module(f"beadseg.{place}")
        module = ModuleType(spec.name, today.__doc__)
        own = {k: v for k, v in vars(today).items() if not k.startswith("__")}
        module.__dict__.update(own)
        for old, name in NAMES.get(place, {}).items():
            setattr(module, old, getattr(today, name))
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: all of it is that of the module of now."""


def install() -> None:
    """Makes the old places known, once."""
    if not any(isinstance(finder, _Old) for finder in sys.meta_path):
        sys.meta_path.append(_Old())
