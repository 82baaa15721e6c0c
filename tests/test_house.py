"""The order of the rooms: each imports only from those before it."""

from pathlib import Path

import grimp
import pytest

ROOMS = (
    *("data", "models", "training", "sweep"),
    *("inference", "partial", "analysis", "commands", "napari"),
)
ABOVE = ("main", "cli", "__main__")  # all else of the top stands below all rooms
LAZY = [  # beadseg.report and beadseg.load
    ("beadseg", "beadseg.analysis.prediction.page"),
    ("beadseg", "beadseg.inference.predictor"),
]


def upward(package: str) -> list[tuple[str, str]]:
    """The imports (from, of) of what stands above, those inside functions too."""
    graph = grimp.build_graph(package, cache_dir=None)
    order = (*ROOMS, *ABOVE)

    def place(module: str) -> int:
        room = module.split(".")[1] if "." in module else ""
        return order.index(room) if room in order else -1

    return [
        (module, imported)
        for module in sorted(graph.modules)
        for imported in sorted(graph.find_modules_directly_imported_by(module))
        if place(imported) > place(module)
    ]


def test_no_import_runs_up_but_the_lazy_ones():
    assert upward("beadseg") == LAZY


def test_every_folder_is_a_room_and_has_its_modules_in_the_graph():
    root = Path(__file__).parents[1] / "beadseg"
    folders = {p.relative_to(root).parts[0] for p in root.glob("*/**/*.py")}
    assert folders == {*ROOMS, "default_model"}
    names = {
        ".".join(("beadseg", *p.relative_to(root).with_suffix("").parts))
        for p in root.rglob("*.py")
    }
    names = {name.removesuffix(".__init__") for name in names}
    assert grimp.build_graph("beadseg", cache_dir=None).modules == names


def test_no_room_and_no_wing_is_crowded():
    root = Path(__file__).parents[1] / "beadseg"
    for folder in {path.parent for path in root.rglob("*.py")}:
        modules = [p for p in folder.glob("*.py") if not p.name.startswith("__")]
        assert len(modules) <= 16, folder


@pytest.mark.parametrize(
    ("importer", "line", "up"),
    [
        ("data/a", "from house.training import b", True),
        ("data/a", "def f():\n    import house.training.b", True),
        ("data/a", "from house import cli", True),
        ("losses", "from house.data import a", True),
        ("commands/a", "from house import main", True),
        ("commands/a", "from house.training import b", False),
        ("training/b", "from house import losses", False),
        ("cli", "from house import main", False),
    ],
)
def test_an_import_that_runs_up_is_seen(importer, line, up, tmp_path, monkeypatch):
    root = tmp_path / "house"
    for name in ("data/a", "training/b", "commands/a", "losses", "main", "cli"):
        file = root / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(line if name == importer else "")
        (file.parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert bool(upward("house")) == up
