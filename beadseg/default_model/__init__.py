"""The model that comes with beadseg; `tests.bench.make_default_model` makes it anew."""

from pathlib import Path

DEFAULT = Path(__file__).parent
