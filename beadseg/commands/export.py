"""`beadseg export RUN`: the model of a run for other tools."""

import argparse
from pathlib import Path

from beadseg.commands import Subparsers, share

ENDINGS = {"onnx": ".onnx", "bioimageio": ".bioimage.io.zip"}


def add(commands: Subparsers) -> None:
    """Adds the parser of the command."""
    parser = commands.add_parser(
        "export",
        help="write the model of a run for other tools (ONNX, bioimage.io)",
        description="Writes the network of a run as ONNX, which onnxruntime, OpenCV "
        "and many others run, or as a package for bioimage.io tools (deepImageJ, "
        "ilastik, QuPath). Its numbers are compared with those of JAX first.",
    )
    parser.add_argument(
        "run_folder",
        metavar="RUN",
        type=Path,
        nargs="?",
        help="a run, or a sweep for its best member (default: the default model)",
    )
    parser.add_argument(
        "--format", choices=ENDINGS, default="onnx", help="(default: onnx)"
    )
    share(parser, "-o", "file to write (model.onnx in RUN, or here)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> dict:
    """Exports; returns the file, its outputs, metadata and difference from JAX."""
    from beadseg.inference.export.packages import export_run
    from beadseg.inference.run import load_runs
    from beadseg.inference.settings import DEFAULT_NAME

    given = [options.run_folder] if options.run_folder else []
    (loaded,) = load_runs(given)
    for note in loaded.notes:
        print(note)
    folder = Path() if loaded.name == DEFAULT_NAME else loaded.path
    file = options.output or folder / f"model{ENDINGS[options.format]}"
    result = export_run(loaded, options.format, file)
    print(
        f"{result['file']}: {', '.join(result['outputs'])}; differs from JAX by at "
        f"most {result['largest_difference']:.1g}"
    )
    return result
