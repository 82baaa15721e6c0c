"""The one kind of error that beadseg shows to a person, and how it is printed."""

import errno
import gc
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from beadseg.quoting import printable

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors of a disk
_AGAIN = 0.02  # seconds after which a signal that would be forgotten comes once more


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
    """Prints what a terminal cannot show by its number; nothing where it is shut."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # `>&-`: no other file shall take its place
            setattr(sys, name, open(os.devnull, "w"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def note(line: str) -> None:
    """Prints what a person should know while the work goes on."""
    print(f"note: {printable(line)}", file=sys.stderr, flush=True)


@contextmanager
def ending(stopped: str) -> Iterator[None]:
    """Ends the process with one line and its exit code where a command cannot go on.

    `stopped` is said of a command that is interrupted, by Ctrl-C or SIGTERM.
    """
    try:
        with _stopping(signals := [signal.SIGINT]):
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
        _let_go_of_output()
        print(f"{stopped}: nobody reads the output any more", file=sys.stderr)
        sys.exit(141)
    except OSError as error:
        _let_go_of_output()
        where = f"{printable(error.filename)}: " if error.filename else ""
        what_to_do = "free space" if error.errno in FULL else "put that right"
        print(
            f"error: {where}{error.strerror or error}: {what_to_do}, and run the same "
            "command again",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        with suppress(OSError):  # nobody may read it any more
            print(stopped, file=sys.stderr, flush=True)
        _let_go_of_output()
        # At once: threads of libraries may be busy, and crash while Python shuts down.
        if signals[-1] == signal.SIGTERM:
            os.kill(os.getpid(), signal.SIGTERM)
        os._exit(128 + signals[-1])


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Within this context Ctrl-C ends the process, as SIGTERM does, and says nothing.

    While modules are loaded, seconds on a slow disk, there is nothing to save.
    """
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if not in_main or before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _stopping(signals: list[int]) -> Iterator[None]:
    """Within this context SIGTERM is as Ctrl-C, and what came is added to `signals`.

    So what is half written goes, as after Ctrl-C.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if _is_deaf(frame):
            again = threading.Timer(_AGAIN, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        signals.append(number)
        raise KeyboardInterrupt

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, stop)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_deaf(frame: FrameType | None) -> bool:
    """Whether Python prints and forgets what is raised there.

    It does so while it collects garbage, in the callbacks of jax and in `__del__`.
    """
    callbacks = [getattr(callback, "__code__", None) for callback in gc.callbacks]
    while frame is not None:
        if frame.f_code in callbacks or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def _let_go_of_output() -> None:
    """Nothing more is written to it: it may be what has failed."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
