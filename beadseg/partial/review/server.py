"""The server of the review page: images, beads and decisions of one folder, as JSON.

Only for who has the token of the address, on this machine unless asked otherwise. Files
are named by nobody: requests speak of images by their names, which are looked up.
Masks, ignore and provenance are written in the background; decisions are on disk before
a request is answered.
"""

import fcntl
import hmac
import json
import logging
import secrets
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from beadseg.data.reading import ReadError, open_pages
from beadseg.errors import BeadsegError
from beadseg.files import writing
from beadseg.partial.actions import DELETED, REJECTED
from beadseg.partial.book import (
    Book,
    Stale,
    image_problem,
    names,
    read_proposals,
)
from beadseg.partial.review.outlines import outline

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_STATIC = {"": "page.html", "page.css": "page.css", "page.js": "page.js"}
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_OPEN = 4  # books in memory
_LONGEST = 1_000_000  # bytes of a request
_SECURITY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Desk:
    """The books of a folder, opened when asked for; one desk at a time for a folder.

    Public attributes: `names`, `problems` (a line by name of each image left out).
    """

    def __init__(self, folder: Path):
        """Raises BeadsegError: not a completed folder, read-only, or in review."""
        self.folder = folder
        self._lock, self._reading = threading.RLock(), threading.Lock()
        self._picture: tuple[tuple[str, int | None], Picture] | None = None
        self._books: OrderedDict[str, Book] = OrderedDict()
        self._unsaved: set[str] = set()
        self._summaries: dict[str, dict] = {}
        self.names, self.problems = [], {}
        for name in names(folder):
            try:
                problem = image_problem(folder, read_proposals(folder, name))
            except BeadsegError as error:
                problem = str(error)
            if problem:
                self.problems[name] = problem
            else:
                self.names.append(name)
        if not self.names:
            raise BeadsegError(next(iter(self.problems.values())))
        try:
            self._alone = open(folder / ".review.lock", "w")
            (folder / "decisions").mkdir(exist_ok=True)
        except OSError as error:
            raise BeadsegError(
                f"{folder}: cannot be written ({error.strerror}): copy it to where you "
                "may write, and review that"
            ) from error
        try:
            fcntl.flock(self._alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._alone.close()
            raise BeadsegError(
                f"{folder}: is being reviewed by another beadseg review: use its page, "
                "or stop it"
            ) from None

    def summary(self, name: str) -> dict[str, Any]:
        """What the list of images says of one."""
        with self._lock:
            if name not in self._summaries or name in self._books:
                book = self._books.get(name) or Book(self.folder, name)
                self._summaries[name] = _summary(book)
            return self._summaries[name]

    def book(self, name: str) -> Book:
        """The open book of an image."""
        with self._lock:
            if name not in self._books:
                with writing(self.folder, None):
                    self._books[name] = Book(self.folder, name)
                while len(self._books) > _OPEN:
                    gone, book = self._books.popitem(last=False)
                    self._summaries[gone] = _summary(book)
                    if gone in self._unsaved:
                        with writing(self.folder, None):
                            book.save()
                        self._unsaved.discard(gone)
            self._books.move_to_end(name)
            return self._books[name]

    def pixels(self, name: str, channel: int | None, step: int) -> tuple[bytes, dict]:
        """Of an image: every `step`th pixel, and what they are."""
        with self._reading:
            if self._picture is None or self._picture[0] != (name, channel):
                picture = read_picture(self.folder, name, channel)
                self._picture = ((name, channel), picture)
            picture = self._picture[1]
        return picture.part(step)

    def decide(self, name: str, action: dict, version: int) -> dict[str, Any]:
        """Acts on an image, and tells what the page must draw anew."""
        with self._lock:
            book = self.book(name)
            with writing(self.folder, None):
                change = book.act(action, version)
            self._unsaved.add(name)
            touched = set(change.beads_before) | set(change.beads_after)
            for pixels in (change.before, change.after):
                touched |= {int(n) for n in np.unique(pixels)}
            beads = [bead_json(book, n) for n in sorted(touched) if n > 0]
            return {
                "version": book.version,
                "beads": beads,
                "focus": change.focus,
                "summary": _summary(book),
            }

    def all_of(self, name: str) -> dict[str, Any]:
        """All that the page shows of an image but its pixels."""
        with self._lock:
            book = self.book(name)
            height, width = book.map.labels.shape
            return {
                "name": name,
                "height": height,
                "width": width,
                "version": book.version,
                "run": book.about["run"],
                "summary": _summary(book),
                "beads": [bead_json(book, n) for n in sorted(book.map.beads)],
            }

    def save(self) -> None:
        """Writes what follows from the decisions, for images that have new ones."""
        with self._lock:
            while self._unsaved:
                name = self._unsaved.pop()
                try:
                    with writing(self.folder, None):
                        self.book(name).save()
                except BaseException:
                    self._unsaved.add(name)
                    raise

    def close(self) -> None:
        """Saves and lets the folder go."""
        try:
            self.save()
        finally:
            self._alone.close()


class Picture(NamedTuple):
    """An image as the page gets it."""

    array: np.ndarray  # u8 or little-endian u16 [H, W]
    channels: int  # that can be chosen among
    low: float  # black and white to begin with
    high: float

    def part(self, step: int) -> tuple[bytes, dict[str, Any]]:
        """Every `step`th pixel, and what the page must know of them."""
        array = np.ascontiguousarray(self.array[::step, ::step])
        facts = {
            "height": array.shape[0],
            "width": array.shape[1],
            "bits": 8 * array.dtype.itemsize,
            "channels": self.channels,
            "low": self.low,
            "high": self.high,
        }
        return array.tobytes(), facts


def read_picture(folder: Path, name: str, channel: int | None) -> Picture:
    """Reads an image; other types than u8 are spread over 16 bits."""
    about = read_proposals(folder, name)
    path = folder / "images" / Path(about["image"]).name
    stack = about.get("stack", "pages")
    page = open_pages(path, channel=channel, stack=stack)[0]
    stored = page.read_stored()
    channels = min(stored.shape[-1], 3) if stored.ndim == 3 else 1
    array = stored if stored.ndim == 2 else page.read()
    if array.dtype != np.uint8:
        low, high = float(np.nanmin(array)), float(np.nanmax(array))
        spread = (array - np.float32(low)) * np.float32(65535 / ((high - low) or 1.0))
        array = np.nan_to_num(spread).clip(0, 65535).astype("<u2")
    some = array[:: max(1, array.shape[0] // 512), :: max(1, array.shape[1] // 512)]
    low, high = map(float, np.percentile(some, [0.5, 99.8]))
    return Picture(array, channels, low, max(high, low + 1))


def bead_json(book: Book, number: int) -> dict[str, Any]:
    """A bead as the page draws it: outline in x, y pairs of pixel corners."""
    bead = book.map.beads.get(number)
    if bead is None:
        return {"id": number, "state": "none"}
    box = book.map.box(number)
    shown = {
        "id": number,
        "origin": bead.origin,
        "state": bead.state,
        "score": bead.score,
        "reason": bead.reason,
        "edited": bead.edited,
    }
    if box is None and bead.state == REJECTED and not bead.edited:
        shape = np.argwhere(book.proposals == number)
        if len(shape):  # where it was, to be seen and reopened
            (top, left), (bottom, right) = shape.min(0), shape.max(0) + 1
            part = book.proposals[top:bottom, left:right] == number
            return shown | _shape(part, int(top), int(left))
    if box is None or bead.state in (DELETED,):
        return shown
    return shown | _shape(book.map.labels[box] == number, box[0].start, box[1].start)


def application(desk: Desk, token: str, hosts: tuple[str, ...] | None) -> Starlette:
    """The web application; `hosts` are the names it may be called by (None: any)."""

    async def static(request: Request) -> Response:
        file = _STATIC[request.path_params.get("file", "")]
        content = (resources.files(__package__) / "static" / file).read_bytes()
        return Response(content, media_type=_TYPES[Path(file).suffix])

    async def listing(request: Request) -> Response:
        def summaries():
            return [desk.summary(name) for name in desk.names]

        images = await run_in_threadpool(summaries)
        problems = [desk.problems[n] for n in sorted(desk.problems)]
        folder = str(desk.folder)
        return JSONResponse({"folder": folder, "images": images, "problems": problems})

    async def beads(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(desk.all_of, named(request)))

    async def version(request: Request) -> Response:
        book = await run_in_threadpool(desk.book, named(request))
        return JSONResponse({"version": book.version})

    async def image(request: Request) -> Response:
        channel = request.query_params.get("channel", "")
        step = request.query_params.get("step", "1")
        if not (step.isdecimal() and 1 <= int(step) <= 64):
            raise BeadsegError("step must be a whole number from 1 to 64")
        channel = int(channel) if channel.isdecimal() else None
        content, facts = await run_in_threadpool(
            desk.pixels, named(request), channel, int(step)
        )
        return Response(
            content,
            media_type="application/octet-stream",
            headers={"X-Image": json.dumps(facts)},
        )

    async def act(request: Request) -> Response:
        body = await request.body()
        try:
            asked = json.loads(body)
            action, known = asked["action"], asked["version"]
            if not isinstance(action, dict) or type(known) is not int:
                raise ValueError("an action is an object, a version a number")
        except (ValueError, KeyError, TypeError) as error:
            raise BeadsegError(f"not an action: {error}") from None
        name = named(request)
        return JSONResponse(await run_in_threadpool(desk.decide, name, action, known))

    def named(request: Request) -> str:
        name = request.path_params["name"]
        if name not in desk.names:
            raise KeyError(name)
        return name

    async def refused(request: Request, error: Exception) -> Response:
        status = 409 if isinstance(error, Stale) else 400
        return JSONResponse({"error": str(error)}, status)

    async def unknown(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": "there is no such image"}, 404)

    @asynccontextmanager
    async def life(app):
        stop = threading.Event()

        def keep_saving():
            while not stop.wait(0.5):
                try:
                    desk.save()
                except BeadsegError as error:
                    logging.getLogger("uvicorn.error").error("%s", error)

        saver = threading.Thread(target=keep_saving, daemon=True)
        saver.start()
        try:
            yield
        finally:
            stop.set()
            saver.join()

    return Starlette(
        routes=[
            Route("/", static),
            Route("/{file:str}", _only_static(static)),
            Route("/api/images", listing),
            Route("/api/beads/{name}", beads),
            Route("/api/version/{name}", version),
            Route("/api/image/{name}", image),
            Route("/api/act/{name}", act, methods=["POST"]),
        ],
        middleware=[Middleware(_Guard, token=token, hosts=hosts)],
        exception_handlers={
            BeadsegError: refused,
            ReadError: refused,
            KeyError: unknown,
        },
        lifespan=life,
    )


def serve(
    folder: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    started: Callable[[str], None] = print,
) -> None:
    """Serves until stopped; `started` is told the address with its token.

    Raises:
      BeadsegError: the folder is not to be reviewed, or the port is taken.
    """
    desk = Desk(folder)
    try:
        listener = _listen(host, port)
        token = secrets.token_urlsafe(24)
        hosts = LOOPBACK if host in LOOPBACK else None
        app = application(desk, token, hosts)
        config = uvicorn.Config(app, log_level="warning", access_log=False)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listener.getsockname()[1]}/?token={token}"
        _Server(config, lambda: started(address)).run(sockets=[listener])
    finally:
        desk.close()


class _Server(uvicorn.Server):
    """Calls `started` once it can be stopped: a signal before that may be lost."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]):
        super().__init__(config)
        self._when_started = started

    async def main_loop(self) -> None:
        await run_in_threadpool(self._when_started)
        await super().main_loop()


class _Guard(BaseHTTPMiddleware):
    """Refuses strangers: no token, another origin, another name for this machine."""

    def __init__(self, app, token: str, hosts: tuple[str, ...] | None):
        super().__init__(app)
        self._token, self._hosts = token.encode(), hosts

    async def dispatch(self, request: Request, call_next) -> Response:
        problem = self._problem(request)
        if problem:
            response = JSONResponse({"error": problem}, 403)
        else:
            response = await call_next(request)
        response.headers.update(_SECURITY)
        return response

    def _problem(self, request: Request) -> str | None:
        host = request.headers.get("host", "")
        if (
            self._hosts is not None
            and urlsplit(f"//{host}").hostname not in self._hosts
        ):
            return "this address is not served: use the one that beadseg review printed"
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return "requests from other pages are refused"
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            if request.url.path != "/":
                return "requests from other pages are refused"
        if int(request.headers.get("content-length") or 0) > _LONGEST:
            return "the request is too long"
        given = request.headers.get("x-token") or request.query_params.get("token", "")
        if request.url.path in ("/page.css", "/page.js"):
            return None  # they hold no data
        if not hmac.compare_digest(given.encode(), self._token):
            return "wrong token: use the address that beadseg review printed"
        return None


def _only_static(static):
    async def found(request: Request) -> Response:
        if request.path_params["file"] not in _STATIC:
            return JSONResponse({"error": "there is no such page"}, 404)
        return await static(request)

    return found


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        raise BeadsegError(
            f"port {port} of {host} cannot be used ({error}): give another with --port"
        ) from error
    listener.set_inheritable(True)
    return listener


def _summary(book: Book) -> dict[str, Any]:
    return {
        "name": book.name,
        "reviewed": book.reviewed,
        "counts": book.counts(),
        "completeness": round(book.completeness(), 4),
        "undo": book.can_undo,
        "redo": book.can_redo,
    }


def _shape(part: np.ndarray, top: int, left: int) -> dict[str, Any]:
    rows, columns = np.nonzero(part)
    bottom, right = top + part.shape[0], left + part.shape[1]
    return {
        "y": round(float(rows.mean()) + top, 1),
        "x": round(float(columns.mean()) + left, 1),
        "box": [top, left, bottom, right],
        "outline": [
            [int(v) + (left, top)[i % 2] for i, v in enumerate(line)]
            for line in outline(part)
        ],
    }
