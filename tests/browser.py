"""A real headless Chromium with a wallet injected that signs with a test key, as browser wallets answer (EIP-1193)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
INJECTED = """
window.ethereum = {
  async request({ method, params }) {
    const answer = JSON.parse(await window.testWallet(JSON.stringify({ method, params: params || [] })));
    if (answer.error) { const error = new Error(answer.error.message); error.code = answer.error.code; throw error; }
    return answer.result;
  },
  on() {},
};
"""


@dataclass
class TestWallet:
    """A wallet with one account; what it does is set by the test."""

    __test__ = False

    secret: bytes
    chain_id: int = 1
    knows_chains: tuple[int, ...] = (1,)
    refuses: bool = False
    asked: list[str] = field(default_factory=list)

    def answer(self, text: str) -> str:
        """Answer one EIP-1193 request, given and answered as JSON."""
        request = json.loads(text)
        self.asked.append(request["method"])
        try:
            return json.dumps({"result": self._result(request["method"], request["params"])})
        except _Refused as error:
            return json.dumps({"error": {"code": error.code, "message": str(error)}})

    def _result(self, method: str, params: list[Any]) -> Any:
        from eth_account import Account

        match method:
            case "eth_requestAccounts":
                return [Account.from_key(self.secret).address]
            case "eth_chainId":
                return hex(self.chain_id)
            case "wallet_switchEthereumChain":
                wanted = int(params[0]["chainId"], 16)
                if wanted not in self.knows_chains:
                    raise _Refused(4902, "Unrecognized chain ID")
                self.chain_id = wanted
                return None
            case "eth_signTypedData_v4":
                if self.refuses:
                    raise _Refused(4001, "User rejected the request.")
                signed = Account.sign_typed_data(self.secret, full_message=json.loads(params[1]))
                return "0x" + signed.signature.hex().removeprefix("0x")
        raise _Refused(4200, f"{method} is not supported")


class _Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def chromium(*arguments: str) -> Iterator[Any]:
    """Start the system's Chromium, or skip the test with a reason where there is none."""
    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("needs Chromium (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu", *arguments])
        yield browser
        browser.close()


@contextmanager
def tab(browser: Any, wallet: TestWallet | None = None, **options: Any) -> Iterator[Any]:
    """Open a page of its own; whatever the browser complains of fails the test."""
    context = browser.new_context(**options)
    complaints: list[str] = []
    if wallet is not None:
        context.expose_function("testWallet", wallet.answer)
        context.add_init_script(INJECTED)
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    yield page
    context.close()
    known = "Failed to load resource: the server responded with a status of 4"  # a refusal that the page shows
    assert not [one for one in complaints if not one.startswith(known)]
