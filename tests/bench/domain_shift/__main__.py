"""The page of the study of the domain shift: which claims hold, what made the collapse.

  python -m beadseg.main --config=configs/study_domain_shift.py --workdir=STUDY
  python -m tests.bench.domain_shift STUDY

writes STUDY/study.html, also while members are still to train. `beadseg report STUDY`
writes the leaderboard, as of any sweep.
"""

import argparse
import json
import sys
from pathlib import Path

from beadseg.errors import BeadsegError
from beadseg.files import write_whole, writing
from tests.bench.domain_shift.page import FILE, write_page
from tests.bench.domain_shift.reading import numbers, read_study


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 2 where there is no such study."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.domain_shift",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", type=Path, metavar="STUDY", help="folder of the sweep")
    parser.add_argument(
        "-o", "--output", type=Path, help=f"file to write ({FILE} in the folder)"
    )
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    options = parser.parse_args(arguments)
    file = options.output or options.study / FILE
    try:
        reading, study = read_study(options.study)
        write_page(reading, study, file)
        if options.json:
            found = numbers(reading, study)
            with writing(options.json, "--json"):
                write_whole(options.json, json.dumps(found, indent=2) + "\n")
    except BeadsegError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"page: {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
