"""One exchange over HTTP with a place that may be slow, endless or hostile: bounded in time and bytes, never trusted.

A deadline runs from the first lookup of the name to the last byte, and only moving data puts it off: whoever trickles
is left when it passes. Nothing is asked of a private address unless the owner says so, no proxy and no `.netrc` stands
in between, and the token goes nowhere but to the place that it is for.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPException, HTTPResponse
from typing import BinaryIO, Final
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

from storage.addresses import addresses_of
from storage.errors import StorageUnavailable
from storage.http_wire import Budget, Connection, TlsConnection

TIMEOUT_S: Final = 30.0
HEAD_BYTES_MAX: Final = 32 * 1024  # of an answer's status line and headers
WIRE_OVERHEAD: Final = 8  # a chunked body may take an eighth more than its bytes
REFUSAL_BYTES_MAX: Final = 4096
REDIRECTS_MAX: Final = 3
PART_BYTES: Final = 256 * 1024

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}


class WrongLength(ValueError):
    """A stream to be sent is shorter or longer than it was said to be."""


class Answer:
    """What a place said: its status at once, its body as it is read and never more of it than asked for."""

    def __init__(self, response: HTTPResponse, budget: Budget, name: str, *, is_early: bool) -> None:
        self.status = response.status
        self._is_early = is_early
        self._response = response
        self._budget = budget
        self._name = name

    def header(self, name: str) -> str:
        """Return a header's value, empty where there is none."""
        return str(self._response.getheader(name) or "")

    def parts(self, *, bytes_max: int) -> Iterator[bytes]:
        """Yield the body. Raises: StorageUnavailable: longer than `bytes_max`, cut short, or too slow."""
        left = bytes_max
        self._budget.allow(bytes_max + bytes_max // WIRE_OVERHEAD + HEAD_BYTES_MAX)
        with _reported(self._name, self._budget):
            while part := self._response.read(min(PART_BYTES, left + 1)):
                left -= len(part)
                if left < 0:
                    raise StorageUnavailable(f"{self._name} sent more than the {bytes_max} bytes that were asked for")
                yield part
            if self._response.length:
                raise StorageUnavailable(f"{self._name} ended its answer {self._response.length} bytes too early")

    def body(self, *, bytes_max: int) -> bytes:
        """Return the whole body; see `parts`."""
        return b"".join(self.parts(bytes_max=bytes_max))

    def check(self) -> None:
        """Raise `StorageUnavailable` for an answer that no honest place gives to what was sent."""
        if self._is_early and self.status < 400:
            raise StorageUnavailable(f"{self._name} said that all is well before it had everything")
        if self.header("Content-Encoding") not in ("", "identity"):
            raise StorageUnavailable(f"{self._name} sent a compressed answer, which was not asked for")

    def close(self) -> None:
        """Hang up; the connection itself holds on for as long as its answer is open."""
        self._response.close()

    def refusal(self) -> bytes:
        """Return the beginning of a body that explains an error status, or nothing if it cannot be read."""
        self._budget.allow(2 * REFUSAL_BYTES_MAX + HEAD_BYTES_MAX)
        try:
            return self._response.read(REFUSAL_BYTES_MAX)
        except (HTTPException, OSError, ValueError, StorageUnavailable):
            return b""


class HttpPlace:
    """A place at `url`; every exchange is a connection of its own, so that it can be shared between threads.

    Args:
        url: `https://…`, or `http://…` where nothing secret is sent; paths of requests are appended to its own.
        name: what a person calls the place.
        token: sent as a bearer token to this place alone, and shown nowhere.
        allow_private: the place is on the owner's own machine or network.
    Raises: StorageUnavailable: `url` is not one that can be used.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        token: str | None = None,
        timeout_s: float = TIMEOUT_S,
        allow_private: bool = False,
    ) -> None:
        self.name = name
        self._base = _base_from(url, name)
        self._token = token
        self._timeout_s = timeout_s
        self._allow_private = allow_private
        if token is not None and not (token.isascii() and token.isprintable() and token.strip() == token != ""):
            raise ValueError("a token is printable ASCII without spaces around it")
        if token is not None and self._base.scheme != "https" and not allow_private:
            raise StorageUnavailable(f"{name} would be sent its token in the open; use https")

    @contextmanager
    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | BinaryIO | None = None,
        body_bytes: int | None = None,
        redirects_max: int = 0,
    ) -> Iterator[Answer]:
        """Make one request and yield its answer, whatever its status; the connection ends with the block.

        Args:
            path: begins with a slash.
            body_bytes: how long a stream in `body` is; what it lacks or has too much is an error.
            redirects_max: of a GET; a redirect leads to public addresses only, except within the place itself.
        Raises: StorageUnavailable.
        """
        url = urlsplit(self._base.geturl().rstrip("/") + path + ("?" + urlencode(query) if query else ""))
        sent = {"Accept-Encoding": "identity", "Connection": "close", **(headers or {})}
        budget = Budget(self._timeout_s)
        for _ in range(redirects_max + 1):
            with closing(self._connection(url, budget)) as connection:
                with _reported(self.name, budget):
                    answer = self._exchange(connection, method, url, sent, body, body_bytes, budget)
                with closing(answer):
                    answer.check()
                    if answer.status not in _REDIRECTS or redirects_max == 0:
                        yield answer
                        return
                    url = self._next(url, answer.header("Location"))
        raise StorageUnavailable(f"{self.name} sends from one address to the next; give the last one as its URL")

    def _exchange(
        self,
        connection: Connection,
        method: str,
        url: SplitResult,
        headers: dict[str, str],
        body: bytes | BinaryIO | None,
        body_bytes: int | None,
        budget: Budget,
    ) -> Answer:
        budget.allow(HEAD_BYTES_MAX)
        connection.putrequest(method, (url.path or "/") + (f"?{url.query}" if url.query else ""))
        if self._token is not None and _origin(url) == _origin(self._base):
            headers = {**headers, "Authorization": f"Bearer {self._token}"}
        length = len(body) if isinstance(body, bytes) else body_bytes
        if length is not None or method in ("POST", "PUT"):
            headers = {**headers, "Content-Length": str(length or 0)}
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        is_sent = self._send(connection, body, length or 0, budget)
        return Answer(connection.getresponse(), budget, self.name, is_early=not is_sent)

    def _send(self, connection: Connection, body: bytes | BinaryIO | None, length: int, budget: Budget) -> bool:
        """Send a body; False where the place stops listening, which it does to say why it refuses."""
        try:
            for part in _parts_of(body, length):
                connection.send(part)
                budget.moved(len(part))
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def _connection(self, url: SplitResult, budget: Budget) -> Connection:
        host, port = url.hostname or "", url.port or _PORTS[url.scheme]
        is_own = _origin(url) == _origin(self._base)
        addresses = addresses_of(host, port, allow_private=self._allow_private and is_own)
        kind = TlsConnection if url.scheme == "https" else Connection
        return kind(host, port, addresses=addresses, budget=budget)

    def _next(self, url: SplitResult, location: str) -> SplitResult:
        """Return where a redirect leads, if anybody may be sent there."""
        try:
            target = urlsplit(urljoin(url.geturl(), location))
            _ = target.port
        except ValueError as error:
            raise StorageUnavailable(f"{self.name} redirects to what is no URL") from error
        is_plain = location.isascii() and location.isprintable()
        if target.scheme not in _PORTS or not target.hostname or target.username is not None or not is_plain:
            raise StorageUnavailable(f"{self.name} redirects to what is no web address")
        if (url.scheme, target.scheme) == ("https", "http"):
            raise StorageUnavailable(f"{self.name} redirects from https to http")
        return target


def printable(body: bytes, chars_max: int, *, secret: str | None = None) -> str:
    """Return what a stranger wrote as text fit for a sentence: printable, short, and without `secret`."""
    text = "".join(filter(str.isprintable, body.decode("utf-8", "replace")))
    return (text.replace(secret, "…") if secret else text)[:chars_max]


def _base_from(url: str, name: str) -> SplitResult:
    try:
        base = urlsplit(url)
        _ = base.port
    except ValueError as error:
        raise StorageUnavailable(f"{name} has no usable URL; write it like https://host/path") from error
    if base.scheme not in _PORTS or not base.hostname or not url.isascii() or not url.isprintable() or " " in url:
        raise StorageUnavailable(f"{name} has no usable URL; write it like https://host/path")
    if base.username is not None or base.query or base.fragment:
        raise StorageUnavailable(f"{name} has a URL with a user, a query or a fragment; leave them out")
    return base


def _origin(url: SplitResult) -> tuple[str, str, int]:
    return url.scheme, url.hostname or "", url.port or _PORTS[url.scheme]


def _parts_of(body: bytes | BinaryIO | None, length: int) -> Iterator[bytes | memoryview]:
    """Yield exactly `length` bytes. Raises: WrongLength: a stream that has fewer or more."""
    if isinstance(body, bytes):
        view = memoryview(body)
        yield from (view[at : at + PART_BYTES] for at in range(0, length, PART_BYTES))
        return
    left = length
    while body is not None and left:
        part = body.read(min(PART_BYTES, left))
        if not part:
            raise WrongLength(f"a stream ended {left} bytes before its length")
        left -= len(part)
        yield part
    if body is not None and body.read(1):
        raise WrongLength("a stream goes on after its length")


@contextmanager
def _reported(name: str, budget: Budget) -> Iterator[None]:
    """Turn what an exchange can raise into this package's error, with nothing of what was sent in it."""
    try:
        yield
    except (OSError, HTTPException) as error:
        if budget.is_late:
            raise StorageUnavailable(f"{name} gave no whole answer within {budget.timeout_s:g} s") from error
        raise StorageUnavailable(
            f"{name} gave no usable answer ({type(error).__name__}); try again later, or another place"
        ) from error
