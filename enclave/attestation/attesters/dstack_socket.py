"""dstack's guest agent: quotes through a Unix socket that the host maps into the container.

Source: Dstack-TEE/dstack, sdk/curl/api.md and guest-agent/rpc/proto/agent_rpc.proto. One HTTP request in JSON, binary
fields in hex. Spoken to directly rather than through its SDK: docs/decisions/005-dstack-socket.md. The older `tappd`
socket, which hashes what it is asked to quote, is not supported.
"""

from __future__ import annotations

import hmac
import json
import socket
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, Final

from enclave.attestation.attesters import AttesterUnavailable

SOCKET: Final = "/var/run/dstack.sock"
REPORT_DATA_BYTES: Final = 64
RESPONSE_BYTES_MAX: Final = 1 << 20
TIMEOUT_S: Final = 30.0  # a quote takes the host's quoting enclave about a second

_STEP_BYTES: Final = 64 << 10
_SHOWN: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class DstackQuote:
    """What the guest agent answered."""

    quote: bytes
    event_log: bytes  # JSON
    vm_config: bytes  # JSON; empty from older agents


class DstackSocket:
    """Asks the guest agent for quotes."""

    def __init__(self, path: str = SOCKET, *, timeout_s: float = TIMEOUT_S) -> None:
        self._path = path
        self._timeout_s = timeout_s

    def quote(self, report_data: bytes) -> DstackQuote:
        """Return a quote over 64 bytes of report data, or raise `AttesterUnavailable`."""
        if len(report_data) != REPORT_DATA_BYTES:
            raise ValueError(f"report data must be {REPORT_DATA_BYTES} bytes")
        status, body = self._posted("/GetQuote", {"report_data": report_data.hex()})
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise AttesterUnavailable(f"{self._path}: the guest agent's answer, {status}, is not JSON") from error
        match answer:
            case {"error": str() as told} if status != 200:
                raise AttesterUnavailable(f"{self._path}: the guest agent answers {status}, {told[:_SHOWN]!r}")
            case {"quote": str(), "event_log": str(), "report_data": str()} if status == 200:
                return self._quoted(answer, report_data)
        raise AttesterUnavailable(
            f"{self._path}: the answer, {status}, is not that of dstack's guest agent 0.5 or newer"
        )

    def _quoted(self, answer: dict[str, Any], report_data: bytes) -> DstackQuote:
        try:
            echoed, quote = bytes.fromhex(answer["report_data"]), bytes.fromhex(answer["quote"])
            event_log, vm_config = answer["event_log"].encode(), str(answer.get("vm_config") or "").encode()
        except ValueError as error:
            raise AttesterUnavailable(f"{self._path}: the guest agent's quote is not in hex") from error
        if not hmac.compare_digest(echoed, report_data):
            raise AttesterUnavailable(f"{self._path}: the guest agent quoted other report data than it was given")
        if not quote or not event_log:
            raise AttesterUnavailable(f"{self._path}: the guest agent's quote is empty; is this a TDX machine?")
        return DstackQuote(quote=quote, event_log=event_log, vm_config=vm_config)

    def _posted(self, method: str, arguments: dict[str, str]) -> tuple[int, bytes]:
        connection = _UnixConnection(self._path, self._timeout_s)
        headers = {"Content-Type": "application/json", "Connection": "close"}
        deadline = time.monotonic() + self._timeout_s
        try:
            connection.request("POST", method, body=json.dumps(arguments), headers=headers)
            response = connection.getresponse()
            return response.status, self._read(response, deadline)
        except (OSError, HTTPException) as error:
            raise AttesterUnavailable(
                f"{self._path}: no answer from dstack's guest agent ({type(error).__name__}): map the socket into the "
                "container, with `- /var/run/dstack.sock:/var/run/dstack.sock` among its volumes"
            ) from error
        finally:
            connection.close()

    def _read(self, response: HTTPResponse, deadline: float) -> bytes:
        """Return the whole body; bounded in bytes, and in time however slowly it drips."""
        body = bytearray()
        while step := response.read1(_STEP_BYTES):
            body += step
            if len(body) > RESPONSE_BYTES_MAX:
                raise AttesterUnavailable(f"{self._path}: the guest agent's answer is over {RESPONSE_BYTES_MAX} bytes")
            if time.monotonic() > deadline:
                raise AttesterUnavailable(f"{self._path}: the guest agent's answer took over {self._timeout_s:g} s")
        return bytes(body)


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("dstack", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
