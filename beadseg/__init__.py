"""beadseg finds every microbead in a microscope image."""

from typing import Any

from beadseg import libraries, old_names, xla

__version__ = "0.1.0"
__all__ = ["load", "report"]

libraries.say_nothing()
old_names.install()
xla.prepare()


def __getattr__(name: str) -> Any:
    if name == "load":  # here: jax is not imported before it is needed
        from beadseg.inference.predictor import load

        return load
    if name == "report":
        from beadseg.analysis.prediction.page import report

        return report
    raise AttributeError(f"module 'beadseg' has no attribute {name!r}")
