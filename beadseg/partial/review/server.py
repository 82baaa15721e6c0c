"""The server of the review page: a desk, for who may sit at it.

Only for who has the token of the address, on this machine unless asked otherwise. Files
are named by nobody: requests speak of images by their names, which are looked up.
Masks, ignore and provenance are written in the background; decisions are on disk before
a request is answered.
"""

import hmac
import json
import logging
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from beadseg.data.reading import ReadError
from beadseg.errors import BeadsegError
from beadseg.partial.book import Stale
from beadseg.partial.review.desk import Desk

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_STATIC = {"": "page.html", "page.css": "page.css", "page.js": "page.js"}
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_LONGEST = 1_000_000  # bytes of a request
_SECURITY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


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
