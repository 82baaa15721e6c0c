"""The one kind of error that beadseg shows to a person, and how it is printed."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from beadseg.quoting import printable


class BeadsegError(Exception):
    """Something a user can put right.

    The message is one line: what is wrong, where, and what to do. The commands print
    it without a traceback and exit with code 2 (1 if only part of the work failed).
    """

    exit_code = 2
    everywhere = False  # of several processes of a run, each raises it at the same step


def reason(error: BaseException) -> str:
    """What the error of a library says, in its first line; else its kind."""
    return str(error).strip().split("\n")[0][:200] or type(error).__name__


def prepare_streams() -> None:
    """Prints what a terminal cannot show by its number, in place of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def note(line: str) -> None:
    """Prints what a person should know while the work goes on."""
    print(f"note: {printable(line)}", file=sys.stderr, flush=True)


@contextmanager
def ending(stopped: str) -> Iterator[None]:
    """Ends the process with one line and its exit code where a command cannot go on.

    `stopped` is said of a command that is interrupted.
    """
    try:
        yield
        sys.stdout.flush()
    except BeadsegError as error:
        print(f"error: {printable(error)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except MemoryError as error:
        reason = " ".join(str(error).split())
        print(
            f"error: not enough memory{f' ({reason})' if reason else ''}: give fewer "
            "or smaller images, or a smaller model, batch or crop",
            file=sys.stderr,
        )
        sys.exit(2)
    except BrokenPipeError:  # as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"{stopped}: nobody reads the output any more", file=sys.stderr)
        sys.exit(141)
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        sys.exit(130)
