"""One request to an IPFS node's RPC, bounded in time and bytes however the node behaves.

`ipfshttpclient` understands multiaddresses and multipart bodies, and is built to be extended where this file extends
it. Left alone it reads an answer of any length, restarts its clock with every byte, follows redirects, unpacks
compressed answers, obeys proxy variables, and decodes JSON with a parser that deep nesting crashes; so a node's answer
is taken here as bytes, through a reader that counts them and watches one deadline. The one wait it cannot cut short is
a TLS handshake that trickles.
"""

import functools
import io
import json
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPException, HTTPResponse
from typing import Any, Final

from ipfshttpclient import exceptions, http_requests, multipart, requests_wrapper
from urllib3.exceptions import HTTPError

RPC_BASE: Final = "api/v0"
HEADER_BYTES_MAX: Final = 16 * 1024  # an answer's own bound comes on top
REFUSAL_BYTES_MAX: Final = 4096  # of the body that explains an error status
REFUSAL_CHARS_MAX: Final = 200  # of it that goes into our message
UPLOAD_CHUNK_BYTES: Final = 256 * 1024


class NodeRefused(Exception):
    """The node answered with an error status; `reason` is its own words, cut short and printable."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}".rstrip())
        self.status = status
        self.reason = reason


class NodeSilent(Exception):
    """The node did not finish its answer in time."""


class NodeUnusable(Exception):
    """The node could not be reached, or what it sent is no answer to what was asked."""


def ask(
    multiaddr: str,
    path: str,
    argument: str | None = None,
    *,
    options: Mapping[str, str],
    timeout_s: float,
    answer_bytes_max: int,
    upload: bytes | None = None,
) -> bytes:
    """Return the body of the node's answer to `POST /api/v0/path`.

    Args:
        argument: the CID that the request is about.
        timeout_s: for all of it, from connecting to the last byte.
        answer_bytes_max: of the body, as it crosses the wire.
        upload: a file to send along.
    Raises: NodeRefused, NodeSilent, NodeUnusable.
    """
    request = _Request(multiaddr, RPC_BASE, timeout=timeout_s)
    request.bounds = _Bounds(time.monotonic() + timeout_s, answer_bytes_max + HEADER_BYTES_MAX)
    body, headers = None, None
    if upload is not None:
        body, headers = multipart.stream_files(io.BytesIO(upload), chunk_size=UPLOAD_CHUNK_BYTES)
    try:
        answer: bytes = request.request(
            path, () if argument is None else (argument,), opts=dict(options), data=body, headers=headers
        )
    except (TimeoutError, exceptions.TimeoutError) as error:
        raise NodeSilent(f"no whole answer within {timeout_s:g} s") from error
    except (exceptions.Error, requests_wrapper.RequestException, HTTPError, HTTPException, OSError) as error:
        if request.bounds.is_late:
            raise NodeSilent(f"no whole answer within {timeout_s:g} s") from error
        raise NodeUnusable(type(error).__name__) from error
    if len(answer) > answer_bytes_max:
        raise NodeUnusable(f"an answer of more than {answer_bytes_max} bytes")
    return answer


def check_address(multiaddr: str) -> None:
    """Raise `NodeUnusable` unless `multiaddr` is one that a request can be sent to."""
    try:
        _Request(multiaddr, RPC_BASE)
    except (exceptions.AddressError, ValueError) as error:
        raise NodeUnusable("not a multiaddress of an RPC") from error


def json_lines(answer: bytes) -> Iterator[dict[str, object]]:
    """Yield the objects in an answer that holds one on each line. Raises: NodeUnusable: a line that is not."""
    for line in answer.splitlines():
        if not line.strip():
            continue
        try:
            said = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise NodeUnusable("a line that is not JSON") from error
        if not isinstance(said, dict):
            raise NodeUnusable("a line that is not a JSON object")
        yield said


class _Bounds:
    """What is left of one request's time and bytes."""

    def __init__(self, deadline: float, bytes_left: int) -> None:
        self._deadline = deadline
        self._bytes_left = bytes_left

    @property
    def is_late(self) -> bool:
        return time.monotonic() >= self._deadline

    def seconds_left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left

    def take(self, count: int) -> None:
        self._bytes_left -= count
        self.expect(0)

    def expect(self, count: int) -> None:
        if count > self._bytes_left:
            raise NodeUnusable("an answer longer than any that was asked for")


class _BoundedReader(io.RawIOBase):
    """A socket's bytes, counted, each wait for them cut to the time left."""

    def __init__(self, sock: Any, raw: io.RawIOBase, bounds: _Bounds) -> None:
        self._sock = sock
        self._raw = raw
        self._bounds = bounds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._bounds.seconds_left())
        count: int | None = self._raw.readinto(buffer)
        self._bounds.take(count or 0)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedBuffer(io.BufferedReader):
    """Refuses to make room for a length that is only claimed: `read` takes the memory before the bytes come."""

    def __init__(self, raw: _BoundedReader, bounds: _Bounds) -> None:
        super().__init__(raw)
        self._bounds = bounds

    def read(self, size: int | None = -1, /) -> bytes:
        self._bounds.expect((size or 0) - io.DEFAULT_BUFFER_SIZE)  # as much may be buffered, and counted, already
        return super().read(size)


class _Response(HTTPResponse):
    def __init__(self, sock: Any, *args: Any, bounds: _Bounds, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw = self.fp.detach()
        self.fp = _BoundedBuffer(_BoundedReader(sock, raw, bounds), bounds)


class _BoundedConnection:
    """Mixed into a connection class: its sends and reads share one deadline."""

    sock: Any

    def __init__(self, *args: Any, bounds: _Bounds, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bounds = bounds
        self.response_class = functools.partial(_Response, bounds=bounds)

    def send(self, data: Any) -> None:
        if self.sock is not None:
            self.sock.settimeout(self._bounds.seconds_left())
        super().send(data)  # type: ignore[misc]


class _Connection(_BoundedConnection, requests_wrapper.HTTPConnection):  # type: ignore[misc]
    pass


class _TlsConnection(_BoundedConnection, requests_wrapper.HTTPSConnection):  # type: ignore[misc]
    pass


class _Pool(requests_wrapper.HTTPConnectionPool):  # type: ignore[misc]
    def __init__(self, *args: Any, bounds: _Bounds, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ConnectionCls = functools.partial(_Connection, bounds=bounds)


class _TlsPool(requests_wrapper.HTTPSConnectionPool):  # type: ignore[misc]
    def __init__(self, *args: Any, bounds: _Bounds, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ConnectionCls = functools.partial(_TlsConnection, bounds=bounds)


class _Adapter(requests_wrapper.HTTPAdapter):  # type: ignore[misc]
    def __init__(self, bounds: _Bounds) -> None:
        self._bounds = bounds
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        # The class above passes `strict`, which urllib3 2 warns of and urllib3 3 refuses.
        self.poolmanager = requests_wrapper.PoolManager(num_pools=connections, maxsize=maxsize, block=block, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            scheme: functools.partial(_TlsPool if scheme.startswith("https") else _Pool, bounds=self._bounds)
            for scheme in self.poolmanager.pool_classes_by_scheme
        }

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Let through nothing but a plain 200: no redirect, no packed body, no error page of any size."""
        response = super().send(request, *args, **kwargs)
        if response.status_code == 200 and "Content-Encoding" not in response.headers:
            return response
        try:
            if response.status_code == 200:
                raise NodeUnusable("a compressed answer, which was not asked for")
            raise NodeRefused(response.status_code, _reason(response.raw))
        finally:
            response.close()


class _Request(http_requests.ClientSync):  # type: ignore[misc]
    bounds: _Bounds

    def _make_session(self) -> Any:
        session = super()._make_session()
        session.trust_env = False  # neither a proxy nor a .netrc stands between us and our own node
        session.adapters.clear()
        adapter = _Adapter(self.bounds)
        for scheme in ("http", "https"):
            for family in ("", *(f"+{name}" for name in requests_wrapper.AF2NAME.values())):
                session.mount(f"{scheme}{family}://", adapter)
        return session


def _reason(raw: Any) -> str:
    """Return what an error body says, printable and short; the body is the node's and may be anything."""
    try:
        body: bytes = raw.read(REFUSAL_BYTES_MAX, decode_content=False)
        said = json.loads(body)
    except (HTTPError, HTTPException, OSError, ValueError, RecursionError):
        return ""
    message = said.get("Message") if isinstance(said, dict) else None
    return "".join(filter(str.isprintable, message))[:REFUSAL_CHARS_MAX] if isinstance(message, str) else ""
