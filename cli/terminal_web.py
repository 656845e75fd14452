"""`coffer tui --serve`: the terminal in a browser, for whoever holds the key in the printed address.

Who can talk to this port can act with this home. textual-serve itself asks for nothing, and a browser lets any page
open a WebSocket to the loopback; so a request counts only with our own Host (against DNS rebinding), our own Origin,
and a cookie that only the address with the key sets. Nothing is fetched from anybody else, and nobody may frame it.
"""

from __future__ import annotations

import hmac
import re
import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware
from textual_serve.server import Server

COOKIE: Final = "coffer_key"
KEY_BYTES: Final = 24
OTHERS_STYLES: Final = re.compile(r"<link\b[^>]*https?://[^>]*>")  # textual-serve's page asks Google for a font
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class GuardedServer(Server):
    """Serves one command to whoever has its key."""

    def __init__(self, command: str, host: str, port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        super().__init__(command, host=host, port=port, title="Coffer", public_url=f"http://{shown}:{port}")
        self.key = secrets.token_urlsafe(KEY_BYTES)

    @property
    def address(self) -> str:
        """Return the address to open; whoever has it can act with this home."""
        return f"{self.public_url}/?key={self.key}"

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guarded())
        app.on_response_prepare.append(self._harden)
        return app

    async def _harden(self, _: web.Request, response: web.StreamResponse) -> None:
        """Have the browser keep the page to itself; its scripts and styles are written into it, so these are let be."""
        socket = "ws" + self.public_url.removeprefix("http")
        response.headers.update(
            {
                "Content-Security-Policy": "default-src 'none'; script-src 'self' 'unsafe-inline'; "
                "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
                f"connect-src 'self' {socket}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                "Cross-Origin-Resource-Policy": "same-origin",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "no-store",
            }
        )

    async def on_startup(self, app: web.Application) -> None:
        """Say where it is."""
        sys.stdout.write(f"the terminal is at {self.address}\nctrl+c ends it\n")
        sys.stdout.flush()

    async def handle_index(self, request: web.Request) -> web.StreamResponse:
        """Return the page, without what it would have fetched from others."""
        page = await super().handle_index(request)  # its decorator renders the template's values
        if isinstance(page, web.Response):
            page.text = OTHERS_STYLES.sub("", page.text or "")
        return page

    def initialize_logging(self) -> None:
        """Log nothing: requests carry the key."""

    def _guarded(self) -> Middleware:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            own = self.public_url.partition("//")[2]
            if request.host != own or request.headers.get("Origin", self.public_url) != self.public_url:
                raise web.HTTPForbidden(text="this terminal answers at its own address alone")
            given = request.query.get("key", "")
            if request.path == "/" and _is(given, self.key):
                response = web.HTTPSeeOther("/")
                response.set_cookie(COOKIE, self.key, httponly=True, samesite="Strict")
                raise response
            if not _is(request.cookies.get(COOKIE, ""), self.key):
                raise web.HTTPForbidden(text="open the address that coffer tui --serve printed; it holds a key")
            return await handler(request)

        return guard


def _is(given: str, key: str) -> bool:
    return hmac.compare_digest(given.encode(), key.encode())
