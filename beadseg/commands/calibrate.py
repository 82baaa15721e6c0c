"""`beadseg calibrate OUT`: a dilution series becomes a calibrated count."""

import argparse
from pathlib import Path
from typing import Any

from beadseg.commands import Subparsers, share

EXAMPLES = r"""examples:
  beadseg predict images/ -o out
  beadseg calibrate out --dilution '^(\d+)x_'
  beadseg calibrate out --dilution '^(\d+)x_' --replicate '_slide(\d+)' --blank pbs
  beadseg calibrate out --dilution dilutions.csv --pixel-size 0.65 --depth 20

dilutions.csv holds two columns, image and dilution (100 for 1:100, or "blank"), and a
third, replicate, where there are such."""


def add(commands: Subparsers) -> None:
    """Adds the parser of the command."""
    parser = commands.add_parser(
        "calibrate",
        help="a dilution series: slope, linear range, blank, beads per ml",
        description="Counts of a prediction folder over their dilutions: intervals, "
        "straight line in log-log, where clumping bends it, blank, limits of detection "
        "and quantification; tables, a page with the plot, and JSON.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folder", metavar="OUT", type=Path, help="folder that beadseg predict wrote"
    )
    parser.add_argument(
        "--dilution",
        required=True,
        metavar="REGEX|CSV",
        help="a regular expression whose group finds the dilution in the name of an "
        "image, or a table image,dilution",
    )
    parser.add_argument(
        "--blank", metavar="REGEX", help="names of blanks (the word blank)"
    )
    parser.add_argument(
        "--replicate",
        metavar="REGEX",
        help="its group finds the replicate: frames of one share its pipetting",
    )
    parser.add_argument(
        "--frame",
        metavar="REGEX",
        help="its group finds the frame: crops of one are counted together (names "
        "without _grid_r1_c2, _tile_3, _x0_y512; pages of a file)",
    )
    share(parser, "--pixel-size", "for beads/mm2")
    parser.add_argument(
        "--area", type=float, metavar="MM2", help="of an image, for beads/mm2"
    )
    parser.add_argument(
        "--depth", type=float, metavar="UM", help="of the liquid seen, for beads/ml"
    )
    parser.add_argument(
        "--volume", type=float, metavar="UL", help="of an image, for beads/ml"
    )
    share(parser, "-o", "folder for page and tables (OUT/calibration)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Calibrates, writes page and tables; returns every number."""
    from beadseg.analysis.calibration import naming, series
    from beadseg.analysis.calibration.page import write_page
    from beadseg.analysis.calibration.result import calibrate, tables
    from beadseg.errors import BeadsegError
    from beadseg.files import output_folder, write_json
    from beadseg.tables import rows_to_table, write_csv

    rows = series.read_rows(options.folder)
    names = series.names_of(rows)
    table = Path(options.dilution)
    if table.suffix.lower() == ".csv" or table.is_file():
        for option in ("blank", "replicate"):
            if getattr(options, option) is not None:
                raise BeadsegError(
                    f"--{option}: {table} says it: write it there, or give --dilution "
                    "as a regular expression"
                )
        samples = naming.by_table(names, table)
    else:
        blank = naming.BLANK if options.blank is None else options.blank
        samples = naming.by_pattern(names, options.dilution, blank, options.replicate)
    optics = series.Optics(
        options.pixel_size, options.area, options.depth, options.volume
    )
    result = calibrate(series.build(rows, samples, optics, options.frame))
    result = {"folder": str(options.folder), "dilution": options.dilution} | result
    output = options.output or options.folder / "calibration"
    with output_folder(output) as part:
        for name, lines in tables(result).items():
            write_csv(part / f"{name}.csv", [rows_to_table(lines)])
        write_json(part / "calibration.json", result)
        write_page(result, part / "calibration.html")
    _print(result, output)
    return result


def _print(result: dict[str, Any], output: Path) -> None:
    from beadseg.analysis.calibration.texts import dilution_table, left_out

    header, rows = dilution_table(result)
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        print("  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)).rstrip())
    print(result["sentence"])
    for line in result["says"]:
        print(line)
    for line in [*left_out(result), *result["limits"]]:
        print(f"note: {line}")
    print(f"page, tables and JSON: {output / 'calibration.html'}, and beside it")
