"""Asking so that a broken connection costs nothing: the same question again is the same request again.

Before a question leaves, its request id and salt go into a file named by a keyed hash of license and question. Where no
answer came, the next run finds the file and asks under the same id, so the books know whether it was charged already.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Unpack

from cli.home import Home
from cli.sealed_files import read_bounded, write_private
from enclave.client import Answer, Asking, Count, EnclaveClient
from enclave.credential import Credential
from enclave.receipt_folder import ReceiptFolder
from storage.cid import Cid
from vault.codec import Digest, Record, encode, record
from vault.errors import (
    AccessDenied,
    BudgetExhausted,
    CreditExhausted,
    MalformedObject,
    RateExceeded,
    RequestConflict,
    ServiceUnavailable,
    VaultError,
)
from vault.question import PLAIN, Query

_FILE_BYTES_MAX = 1024
_REFUSALS = (AccessDenied, BudgetExhausted, CreditExhausted, RateExceeded, RequestConflict)


@record
class OpenRequest(Record):
    """A question that was sent and not answered yet; it does not say what was asked."""

    TYPE: ClassVar[str] = "coffer/open-request/v1"

    request: Digest
    salt: Digest


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer, and where its receipt lies."""

    answer: Answer
    receipt: Path


def asked(
    client: EnclaveClient, place: Home, credential: Credential, text: str, k: int | None, **asked: Unpack[Asking]
) -> tuple[Answer, Path]:
    """Return the answer and where its receipt was saved; the receipt is kept before the request is forgotten."""
    path, request = _opened(client, place, credential, text, k, asked)
    with _open_until_refused(path):
        answer = client.search(text, k=k, request_id=request.request, salt=request.salt, **asked)
    return answer, _closed(place, path, answer)


def counted(
    client: EnclaveClient, place: Home, credential: Credential, where: bytes, *, datasets: Sequence[Cid], price_max: int
) -> tuple[Count, Path]:
    """Return how many passages meet a filter and where the receipt was saved, as `asked` does."""
    asked = Asking(datasets=datasets, options=replace(PLAIN, where=where), price_max=price_max)
    path, request = _opened(client, place, credential, "", 0, asked)
    with _open_until_refused(path):
        count = client.count(
            where, datasets=datasets, price_max=price_max, request_id=request.request, salt=request.salt
        )
    return count, _closed(place, path, count)


@contextmanager
def _open_until_refused(path: Path) -> Iterator[None]:
    """Leave an open request where nobody answered, and forget it where it was refused."""
    try:
        yield
    except ServiceUnavailable as error:
        raise ServiceUnavailable(
            f"{error}. Run the same command again: an answer that was charged already is not charged twice"
        ) from error
    except _REFUSALS:
        path.unlink(missing_ok=True)  # nothing was charged under this id, or what was is refunded
        raise


def asked_each(
    client: EnclaveClient,
    place: Home,
    credential: Credential,
    texts: Sequence[str],
    k: int | None,
    **asked: Unpack[Asking],
) -> list[Kept | VaultError]:
    """Return for each text, asked together, the answer and where its receipt lies, or why there is none."""
    opened = [_opened(client, place, credential, text, k, asked) for text in texts]
    queries = [
        client.question(text, k=k, request_id=request.request, salt=request.salt, **asked)
        for text, (_, request) in zip(texts, opened, strict=True)
    ]
    kept: list[Kept | VaultError] = []
    for (path, _), outcome in zip(opened, client.search_batch(queries), strict=True):
        if isinstance(outcome, Answer):
            kept.append(Kept(outcome, _closed(place, path, outcome)))
            continue
        if isinstance(outcome, _REFUSALS):
            path.unlink(missing_ok=True)
        kept.append(outcome)
    return kept


def _opened(
    client: EnclaveClient, place: Home, credential: Credential, text: str, k: int | None, asked: Asking
) -> tuple[Path, OpenRequest]:
    """Return where a question's request id lies before it is asked, and the id: a new one, or one without an answer."""
    alike = client.question(text, k=k, request_id=bytes(32), salt=bytes(32), **asked)
    path = _open_path(place, credential, alike)
    request = _known(path) or OpenRequest(request=secrets.token_bytes(32), salt=secrets.token_bytes(32))
    write_private(path, request.encoded())
    return path, request


def _closed(place: Home, path: Path, paid: Answer | Count) -> Path:
    receipt = ReceiptFolder(place.receipts).keep(paid.receipt, paid.file)
    path.unlink(missing_ok=True)
    return receipt


def _open_path(place: Home, credential: Credential, alike: Query) -> Path:
    tag = hmac.digest(
        credential.seed, encode(["coffer/open-request/v1", credential.license.cid(), alike.body_digest()]), "sha256"
    )
    return place.receipts / f"{tag.hex()[:32]}.open"


def _known(path: Path) -> OpenRequest | None:
    with suppress(FileNotFoundError, MalformedObject):
        return OpenRequest.from_bytes(read_bounded(path, _FILE_BYTES_MAX))
    return None
