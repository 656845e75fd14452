"""The voting page served on the loopback over a founded DAO, and the wallets of its members."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from cli.dao_web import LOOPBACK, listening
from cli.home import settings_from
from cli.voting_page.app import voting_app
from cli.voting_page.serving import page_served
from cli.voting_page.shown import Page
from cli.wallets import open_wallet
from storage.cid import Cid
from tests.browser import TestWallet
from tests.cli.conftest import PASSWORD, Founded
from tests.loops import Loop
from vault.rate import PeerLimit


@dataclass
class Served:
    """The page on the loopback, over a founded DAO."""

    dao: Founded
    address: str
    page: Page

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def asked(self, path: str, body: Any = None, **headers: str) -> tuple[int, str, dict[str, str]]:
        """Return status, body and headers of what the page answers."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        given = ({"content-type": "application/json"} if body is not None else {}) | headers
        request = urllib.request.Request(self.url + path, data=data, headers=given)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310
                return response.status, response.read().decode(), dict(response.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(), dict(error.headers)


@contextmanager
def page_of(dao: Founded) -> Iterator[Served]:
    """Serve the page of a DAO while the context lasts."""
    names = json.loads(dao.party.env["COFFER_CUSTODIANS"])
    page = Page(settings_from(home=dao.party.home, custodians=tuple(names)), Cid.parse(dao.genesis))
    loop, stack = Loop(), AsyncExitStack()
    with listening("127.0.0.1:0") as bound:
        port = bound.getsockname()[1]
        app = voting_app(page, hosts=list(LOOPBACK), limit=PeerLimit(per_s=1000.0, burst=1000.0))
        loop.call(stack.enter_async_context(page_served(app, bound)))
        yield Served(dao, f"127.0.0.1:{port}", page)
        loop.call(stack.aclose())
    loop.close()


def wallet_of(dao: Founded, name: str, **settings: Any) -> TestWallet:
    key = open_wallet(dao.party.home / "wallets" / f"{name}.json", PASSWORD)
    return TestWallet(key._key.secret, **settings)
