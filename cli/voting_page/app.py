"""The voting page's HTTP side: pages to read without a script, four calls for the script, and what browsers enforce.

Whatever a request holds is bounded and checked; errors are one sentence. Nothing is loaded from elsewhere, and the
content security policy (W3C CSP 3) has the browser see to that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cli.console import one_line
from cli.voting_page.shown import Answer, Page
from storage.cid import Cid
from storage.errors import InvalidCid, StorageError
from vault.ballot import Support, require_reason
from vault.errors import AccessDenied, MalformedObject, NotYet, RateExceeded, ServiceUnavailable, VaultError
from vault.rate import PeerLimit
from vault.signing import address_from, wallet_signature_from
from vault.utc import time_text

BODY_BYTES_MAX: Final = 8 << 10
SEQUENCE_END: Final = 1 << 53  # the greatest integers that JSON readers agree on
HEADERS: Final = {
    b"content-security-policy": (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=(), payment=()",
}
STATUS: Final = ((RateExceeded, 429), (AccessDenied, 403), (NotYet, 409), (ServiceUnavailable, 503))
_HERE: Final = Path(__file__).parent


class Guarded:
    """Puts the headers on every response, and limits how often one address may call."""

    def __init__(self, app: ASGIApp, limit: PeerLimit) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name.lower() for name, _ in message["headers"]}
                added = HEADERS | ({} if b"cache-control" in known else {b"cache-control": b"no-store"})
                message["headers"] = [*message["headers"], *added.items()]
            await send(message)

        try:
            self._limit.take((scope.get("client") or ("", 0))[0])
        except RateExceeded as error:
            await JSONResponse({"error": str(error)}, 429)(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)


def voting_app(page: Page, *, hosts: list[str], limit: PeerLimit) -> ASGIApp:
    """Return the page as an ASGI application.

    Args:
        hosts: names this page is reached by; a request for another, as DNS rebinding makes them, is refused.
    """
    views = _Views(page)
    routes = [
        Route("/", views.overview),
        Route("/proposals/{cid}", views.proposal),
        Route("/history", views.history),
        Route("/blocks/{cid}", views.block),
        Route("/proposals/{cid}/members/{address}", views.member),
        Route("/proposals/{cid}/typed-data", views.typed_data, methods=["POST"]),
        Route("/proposals/{cid}/ballots", views.cast, methods=["POST"]),
        Mount("/static", StaticFiles(directory=_HERE / "static")),
    ]
    handlers: dict[Any, Any] = {kind: views.refused for kind in (VaultError, StorageError, HTTPException)}
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=hosts)]
    return Guarded(Starlette(routes=routes, middleware=middleware, exception_handlers=handlers), limit)


class _Views:
    def __init__(self, page: Page) -> None:
        self._page = page
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
        )
        self._templates.filters |= {"line": one_line, "time": time_text}

    async def overview(self, request: Request) -> Response:
        return await self._rendered("overview.html", self._page.overview)

    async def proposal(self, request: Request) -> Response:
        cid = _cid(request)
        return await self._rendered("proposal.html", lambda: self._page.proposal(cid))

    async def history(self, request: Request) -> Response:
        return await self._rendered("history.html", self._page.epochs)

    async def block(self, request: Request) -> Response:
        body = await run_in_threadpool(self._page.block, _cid(request))
        if body is None:
            raise HTTPException(404, "this board does not have that block")
        lasting = {"cache-control": "public, max-age=31536000, immutable"}
        return Response(body, media_type="application/vnd.ipld.raw", headers=lasting)

    async def member(self, request: Request) -> Response:
        cid, voter = _cid(request), address_from(request.path_params["address"])
        return JSONResponse(await run_in_threadpool(self._page.member, cid, voter))

    async def typed_data(self, request: Request) -> Response:
        cid, given = _cid(request), await _body(request, {"voter": str, "support": str, "reason": str})
        return JSONResponse(await run_in_threadpool(self._page.typed_data, cid, _answer(given)))

    async def cast(self, request: Request) -> Response:
        kinds = {"voter": str, "support": str, "reason": str, "sequence": int, "signature": str}
        cid, given = _cid(request), await _body(request, kinds)
        if not 0 <= given["sequence"] < SEQUENCE_END:
            raise MalformedObject("a ballot's sequence is at least 0 and below 2^53")
        signature = wallet_signature_from(given["signature"])
        said = await run_in_threadpool(self._page.cast, cid, _answer(given), given["sequence"], signature)
        return JSONResponse(said)

    async def refused(self, request: Request, error: Exception) -> Response:
        """Answer with one sentence: as a page where a person reads, as JSON where the script does."""
        if isinstance(error, HTTPException):
            status, sentence = error.status_code, str(error.detail)
        else:
            status = next((code for kind, code in STATUS if isinstance(error, kind)), 400)
            sentence = one_line(str(error))
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return await self._rendered("refused.html", lambda: {"sentence": sentence}, status)
        return JSONResponse({"error": sentence}, status)

    async def _rendered(self, name: str, shown: Callable[[], Mapping[str, Any]], status: int = 200) -> Response:
        """Render off the event loop: a page may have a chain to verify first."""
        template = self._templates.get_template(name)
        return HTMLResponse(await run_in_threadpool(lambda: template.render(shown())), status)


def _cid(request: Request) -> Cid:
    try:
        return Cid.parse(request.path_params["cid"])
    except InvalidCid as error:
        raise HTTPException(404, "that is not a CID; the front page lists the proposals") from error


def _answer(given: Mapping[str, Any]) -> Answer:
    if given["support"] not in tuple(Support):
        raise MalformedObject(f"an answer is one of {', '.join(Support)}")
    require_reason(given["reason"])
    return Answer(voter=address_from(given["voter"]), support=Support(given["support"]), reason=given["reason"])


async def _body(request: Request, kinds: Mapping[str, type]) -> dict[str, Any]:
    """Return a request's JSON object with exactly these fields; a request from another site's page is refused."""
    origin, own = request.headers.get("origin"), f"{request.url.scheme}://{request.headers.get('host', '')}"
    if origin is not None and origin != own:
        raise HTTPException(403, "this request came from another site's page")
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "send application/json")
    try:
        given = json.loads(await _bounded(request))
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "the request's body is not JSON") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the request ended early") from error
    if not isinstance(given, dict) or {name: type(value) for name, value in given.items()} != dict(kinds):
        raise HTTPException(400, f"send exactly {', '.join(kinds)}")
    return given


async def _bounded(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise HTTPException(413, f"a request takes at most {BODY_BYTES_MAX} bytes")
    return bytes(body)
