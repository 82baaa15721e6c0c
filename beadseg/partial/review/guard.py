"""Who may ask: those with the token, on this machine, from the page itself.

What is refused is answered with 4xx and one line of the log, without the token.
"""

import hmac
import logging
import re
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import JSONResponse

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LONGEST = 1_000_000  # bytes of a request
_OPEN = ("/page.css", "/page.js")  # they hold no data
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^][:/?#@\s]+))(?::\d{1,5})?", re.IGNORECASE)
_SECURITY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def refusal(scope, status: int, why: object) -> JSONResponse:
    """The answer to a request that is refused; the log gets a line."""
    line = " ".join(str(why).split())
    logging.getLogger("uvicorn.error").warning(
        "refused (%s): %s %s: %s",
        *(status, scope["method"], ascii(scope["path"][:200]), line[:500]),
    )
    # A body that was not read to its end is not waited for.
    headers = {"Connection": "close"} if status in (408, 413) else None
    return JSONResponse({"error": line}, status, headers)


class Guard:
    """Middleware that refuses strangers: no token, another origin, another host."""

    def __init__(self, app, token: str, hosts: tuple[str, ...] | None):
        """`hosts` are the names that this machine may be called by; None: any."""
        self._app, self._token, self._hosts = app, token.encode(), hosts

    async def __call__(self, scope, receive, send) -> None:
        """As ASGI has it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        else:
            app, problem = self._app, self._problem(scope)
            if problem:
                app = refusal(scope, *problem)

            async def secured(message) -> None:
                if message["type"] == "http.response.start":
                    MutableHeaders(scope=message).update(_SECURITY)
                with suppress(Exception):  # its body has broken the connection
                    await send(message)

            await app(scope, receive, secured)

    def _problem(self, scope) -> tuple[int, str] | None:
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        parts = _HOST.fullmatch(host)
        if parts is None:
            return 400, "this is no host: use the address that beadseg review printed"
        name = (parts[1] or parts[2]).lower()
        if self._hosts is not None and name not in self._hosts:
            return 403, (
                "this address is not served: use the one that beadseg review printed"
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return 403, "requests from other pages are refused"
        site = headers.get("sec-fetch-site", "none")
        if site not in ("none", "same-origin") and path != "/":
            return 403, "requests from other pages are refused"
        if path not in _OPEN:
            asked = QueryParams(scope["query_string"]).get("token", "")
            given = headers.get("x-token") or asked
            if not hmac.compare_digest(given.encode(errors="replace"), self._token):
                return 403, "wrong token: use the address that beadseg review printed"
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal()):
            return 400, "Content-Length must be a whole number"
        if len(length) > 9 or int(length) > LONGEST:
            return 413, "the request is too long"
        return None
