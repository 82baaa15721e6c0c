"""The server of the review page: one session, for those who hold its token.

Only for who has the token of the address, on this machine unless asked otherwise. Files
are named by nobody: requests speak of images by their names, which are looked up.
Masks, ignore and provenance are written in the background; decisions are on disk before
a request is answered.
"""

import asyncio
import json
import logging
import secrets
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from beadseg.errors import BeadsegError
from beadseg.partial.review.annotation_log import Stale
from beadseg.partial.review.guard import LONGEST, LOOPBACK, Guard, refusal
from beadseg.partial.review.session import ReviewSession, View

_STATIC = {"": "page.html", "page.css": "page.css", "page.js": "page.js"}
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_SIDES = ("width", "height")
_PATIENCE = 30  # s for a body to arrive
_REST = 1.0  # s without a decision, after which masks are written: not between two
_GRACE = 3  # s for requests that are under way when it is ended


def application(
    session: ReviewSession,
    token: str,
    hosts: tuple[str, ...] | None,
    measure: Callable[[], dict[str, Any]] | None = None,
) -> Starlette:
    """The web application.

    Args:
      hosts: the names it may be called by; None: any.
      measure: measures a prediction folder again, and says what came of it.
    """
    api = _Api(session, measure)
    app = Starlette(
        routes=[
            Route("/", _static),
            Route("/{file:str}", _static),
            Route("/api/images", api.images),
            Route("/api/beads/{name}", api.beads),
            Route("/api/version/{name}", api.version),
            Route("/api/image/{name}", api.image),
            Route("/api/redrawn/{name}", api.redrawn),
            Route("/api/act/{name}", api.act, methods=["POST"]),
            Route("/api/measure", api.measure, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, token=token, hosts=hosts)],
        exception_handlers={
            BeadsegError: _refused,
            HTTPException: _unknown,
        },
        lifespan=lambda app: _saving(session),
    )
    app.router.redirect_slashes = False
    return app


class _Api:
    """Answers what the page asks of a session."""

    def __init__(
        self, session: ReviewSession, measure: Callable[[], dict[str, Any]] | None
    ):
        self._session = session
        self._measure = measure
        self._measuring = threading.Lock()

    async def images(self, request: Request) -> Response:
        """All images, and the lines on those that are left out."""
        session = self._session
        images, problems = await run_in_threadpool(session.listing)
        facts = {"folder": str(session.folder), "prediction": session.prediction}
        return JSONResponse(facts | {"images": images, "problems": problems})

    async def measure(self, request: Request) -> Response:
        """Measures the prediction again."""
        if self._measure is None:
            raise HTTPException(404, "this folder is no prediction")
        try:
            return JSONResponse(await run_in_threadpool(self._measure_all))
        except asyncio.CancelledError:  # it all ends; what is decided is saved
            raise HTTPException(503, "beadseg review has ended meanwhile") from None

    def _measure_all(self) -> dict[str, Any]:
        with self._measuring:
            if failed := self._session.save():
                raise BeadsegError(failed[0])
            return self._measure()

    async def beads(self, request: Request) -> Response:
        """All beads of an image."""
        name = self._name(request)
        return JSONResponse(await run_in_threadpool(self._session.all_of, name))

    async def version(self, request: Request) -> Response:
        """Which version of its annotations an image has."""
        name = self._name(request)
        annotations = await run_in_threadpool(self._session.annotations, name)
        return JSONResponse({"version": annotations.version})

    async def image(self, request: Request) -> Response:
        """The pixels of an image."""
        step = _number(request, "step", 1, 64)
        channel = _number(request, "channel", 0, 99)
        content, facts = await run_in_threadpool(
            self._session.pixels, self._name(request), channel, step or 1
        )
        return Response(
            content,
            media_type="application/octet-stream",
            headers={"X-Image": json.dumps(facts)},
        )

    async def redrawn(self, request: Request) -> Response:
        """Where beads would be at another threshold; as u16 where that is enough."""
        hundredths, view = _view(request)
        seen = await run_in_threadpool(
            self._session.redrawn, self._name(request), hundredths / 100, view
        )
        if seen.max(initial=0) < 2**16:
            seen = seen.astype("<u2")
        return Response(seen.tobytes(), media_type="application/octet-stream")

    async def act(self, request: Request) -> Response:
        """Takes a decision."""
        name = self._name(request)
        action, known = _asked(await _body(request))
        return JSONResponse(
            await run_in_threadpool(self._session.decide, name, action, known)
        )

    def _name(self, request: Request) -> str:
        name = request.path_params["name"]
        if name not in self._session.names:
            raise HTTPException(404, "there is no such image")
        return name


async def _static(request: Request) -> Response:
    name = request.path_params.get("file", "")
    if name not in _STATIC:
        raise HTTPException(404, "there is no such page")
    file = _STATIC[name]
    content = (resources.files(__package__) / "static" / file).read_bytes()
    return Response(content, media_type=_TYPES[Path(file).suffix])


async def _refused(request: Request, error: Exception) -> Response:
    return refusal(request.scope, 409 if isinstance(error, Stale) else 400, error)


async def _unknown(request: Request, error: HTTPException) -> Response:
    return refusal(request.scope, error.status_code, error.detail)


@asynccontextmanager
async def _saving(session: ReviewSession) -> AsyncIterator[None]:
    """Saves in the background; says what cannot be saved, once."""
    stop = threading.Event()

    def keep_saving():
        said: list[str] = []
        while not stop.wait(0.5):
            if not session.rests(_REST):
                continue
            failed = session.save()
            for line in failed:
                if line not in said:
                    logging.getLogger("uvicorn.error").error("%s", line)
            said = failed

    saver = threading.Thread(target=keep_saving, daemon=True)
    saver.start()
    try:
        yield
    finally:
        stop.set()
        saver.join()


def serve(
    folder: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    started: Callable[[str], None] = print,
    measure: Callable[[], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Serves until stopped; `started` is told the address with its token.

    `measure`: see `application`.

    Returns:
      How far the review has come (`ReviewSession.close`).

    Raises:
      BeadsegError: the folder is not to be reviewed, or the port is taken.
    """
    session = ReviewSession(folder)
    try:
        listener = _listen(host, port)
        token = secrets.token_urlsafe(24)
        hosts = LOOPBACK if host in LOOPBACK else None
        app = application(session, token, hosts, measure)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=_GRACE,
        )
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listener.getsockname()[1]}/?token={token}"
        server = _Server(config, lambda: started(address))
        with _ends_by_signals(server):
            server.run(sockets=[listener])
            return session.close()
    finally:
        session.release()


@contextmanager
def _ends_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """SIGTERM and SIGHUP (a closed terminal) end it as Ctrl-C does, once."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
            number = getattr(signal, name, None)
            if number and signal.getsignal(number) != signal.SIG_IGN:  # nohup
                before[number] = signal.signal(number, server.handle_exit)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Server(uvicorn.Server):
    """Tells when it can be stopped: a signal before that may be lost."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]):
        super().__init__(config)
        self._when_started = started

    async def main_loop(self) -> None:
        await run_in_threadpool(self._when_started)
        await super().main_loop()

    def handle_exit(self, sig: int, frame: object) -> None:
        """Any signal, however often, is one wish: to end with all saved."""
        self.should_exit = True


async def _body(request: Request) -> bytes:
    """The body; one that is too long is refused as soon as it is, told or not."""
    body = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE):
            async for part in request.stream():
                body += part
                if len(body) > LONGEST:
                    raise HTTPException(413, "the request is too long")
    except (ClientDisconnect, TimeoutError, asyncio.CancelledError):  # or it all ends
        raise HTTPException(408, "the request was not sent to its end") from None
    return bytes(body)


def _asked(body: bytes) -> tuple[dict, int]:
    """The action that a request asks for, and the version that it knows."""
    try:
        asked = json.loads(body)
        action, known = asked["action"], asked["version"]
        if not isinstance(action, dict) or type(known) is not int:
            raise ValueError("an action is an object, a version a number")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BeadsegError(f"not an action: {error}") from None
    return action, known


def _number(request: Request, name: str, least: int, most: int) -> int | None:
    """A whole number of the address; None where it is not given."""
    given = request.query_params.get(name, "")
    if not given:
        return None
    digits = given.isascii() and given.isdecimal() and len(given) < 9
    if not (digits and least <= int(given) <= most):
        raise BeadsegError(f"{name} must be a whole number from {least} to {most}")
    return int(given)


def _view(request: Request) -> tuple[int, View]:
    """The threshold in hundredths, and the view, that a request asks for."""
    width, height = (_number(request, side, 1, 8192) or 1 for side in _SIDES)
    try:
        x, y, scale = (float(request.query_params[key]) for key in ("x", "y", "scale"))
        if not (max(abs(x), abs(y)) < 1e6 and 0.001 < scale < 1000):
            raise ValueError("it shows nothing")
    except (KeyError, ValueError) as error:
        raise BeadsegError(f"not a view: {error}") from None
    return _number(request, "threshold", 0, 100) or 0, View(x, y, scale, width, height)


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
