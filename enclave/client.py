"""The client an AI app embeds: it believes nothing that the evidence does not prove (rules E5, E6).

    with connect("127.0.0.1:7001", "app.credential") as coffer:
        for result in coffer.search("How do I open a zip file?"):
            print(result.document, result.text)

`connect` reads the server's certificate, makes it the only root of the channel, asks for evidence over its own nonce,
and checks evidence, binding, leases, head and policy before it sends a word. What it verified of a TLS key holds in
this process until the leases end (`enclave.proven`). A reconnect is a new session, verified as the first one was.
Importing this loads neither torch, faiss, SQL nor wallets.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from enclave.answers import Account, Answer, Count, Description, Embedding, ReceiptNotKept, Result
from enclave.async_client import AsyncEnclaveClient
from enclave.client_core import Asking, Keeper
from enclave.credential import Credential
from enclave.dialing import Dialing
from enclave.patience import TIMEOUT_S, Patience
from enclave.payer import Payer
from enclave.proven import PROVEN, ProvenEnclaves
from enclave.receipt_folder import ReceiptFolder
from enclave.sync_client import EnclaveClient
from enclave.tallies import TallyFolder
from storage.cid import Cid
from vault.errors import AccessDenied, WrongKey

if TYPE_CHECKING:
    from vault.evidence import Appraiser

__all__ = [
    "Account",
    "Answer",
    "Asking",
    "AsyncEnclaveClient",
    "Count",
    "Description",
    "Embedding",
    "EnclaveClient",
    "ReceiptNotKept",
    "Result",
    "connect",
    "connect_async",
]

TRUE: Final = ("1", "true", "t", "yes", "y", "on")
HOME_RECEIPTS: Final = "home"  # the folder that `coffer query` keeps its receipts in, too


def connect(
    address: str,
    credential: Credential | str | Path,
    *,
    max_spend: int | None = None,
    receipts: str | Path | Keeper | None = HOME_RECEIPTS,
    tallies: str | Path | None = HOME_RECEIPTS,
    timeout_s: float = TIMEOUT_S,
    has_retries: bool = True,
    **rules: Any,
) -> EnclaveClient:
    """Verify the enclave at `host:port`, pin it, open a session, and return a client that threads may share.

    Args:
        credential: one, or the file that `coffer license accept` made.
        max_spend: micro-units that this client may spend; the delegation's cap holds as well.
        receipts: a folder to keep each receipt in, what takes it, or None to keep none. By default they go to
            `receipts` in the folder that `COFFER_HOME` names, or `~/.coffer`: with what an offline check needs, so
            with questions and passages, in files that only their owner can read.
        tallies: a folder to keep in what was received and promised by a payment channel, or None to forget it at the
            end. By default it is `vouchers` in that same folder. Vouchers are signed by the credential's own key.
        timeout_s: the deadline of each operation, its retries among it.
        has_retries: whether what is safe to ask again is asked again.
        rules: see `dialing`.
    Raises: `AccessDenied`, `InvalidSignature`, `StaleState` for an enclave that does not prove itself; `Revoked` or
        `AccessDenied` for a license that does not hold; `WrongKey`; `ServiceUnavailable`; `OSError`.
    """
    patience = Patience(timeout_s=timeout_s, has_retries=has_retries)
    keep, dialed = _keeper(receipts), dialing(address, credential, **rules)
    payer = Payer(dialed.credential, tallies=_tallies(tallies), max_spend=max_spend)
    return EnclaveClient(dialed, max_spend=max_spend, keep=keep, patience=patience, payer=payer)


async def connect_async(
    address: str,
    credential: Credential | str | Path,
    *,
    max_spend: int | None = None,
    receipts: str | Path | Keeper | None = HOME_RECEIPTS,
    tallies: str | Path | None = HOME_RECEIPTS,
    timeout_s: float = TIMEOUT_S,
    has_retries: bool = True,
    **rules: Any,
) -> AsyncEnclaveClient:
    """Do what `connect` does, and return a client whose calls are awaited: `async with await connect_async(…)`."""
    patience = Patience(timeout_s=timeout_s, has_retries=has_retries)
    keep, dialed = _keeper(receipts), dialing(address, credential, **rules)
    payer = Payer(dialed.credential, tallies=_tallies(tallies), max_spend=max_spend)
    return await AsyncEnclaveClient.dial(dialed, max_spend=max_spend, keep=keep, patience=patience, payer=payer)


def dialing(
    address: str,
    credential: Credential | str | Path,
    *,
    password: str | None = None,
    policy: Cid | str | None = None,
    appraiser: Appraiser | None = None,
    allow_simulated: bool = False,
    clock: Callable[[], float] = time.time,
    proven: ProvenEnclaves = PROVEN,
) -> Dialing:
    """Return whom a client asks and by which rules.

    Args:
        password: of the credential's file; by default what `COFFER_PASSWORD` holds.
        policy: the policy that is meant; a credential for another one is refused.
        appraiser: judges evidence; by default by the policy's own rules and the pinned roots of all vendors. With
            `COFFER_PRODUCTION` set, it refuses simulated TEEs whatever is allowed.
        allow_simulated: accept a SIMULATED TEE, which protects nothing.
        clock: UTC seconds.
        proven: what was verified before; by default, by anyone in this process.
    """
    if appraiser is None:
        from enclave.attestation.appraise import EvidenceAppraiser

        appraiser = EvidenceAppraiser(production=os.environ.get("COFFER_PRODUCTION", "").lower() in TRUE)
    held = credential if isinstance(credential, Credential) else _read(Path(credential), password)
    meant = Cid.parse(policy) if isinstance(policy, str) else policy
    if meant is not None and held.license.policy != meant:
        raise AccessDenied(f"the credential is for policy {held.license.policy}, not {meant}; ask for another license")
    return Dialing(
        address=address,
        credential=held,
        appraiser=appraiser,
        allow_simulated=allow_simulated,
        clock=clock,
        proven=proven,
    )


def _read(path: Path, password: str | None) -> Credential:
    secret = os.environ.get("COFFER_PASSWORD", "") if password is None else password
    if not secret:
        raise WrongKey("a credential's file opens with a password; give password=…, or set COFFER_PASSWORD")
    return Credential.read(path, password=secret)


def _keeper(receipts: str | Path | Keeper | None) -> Keeper | None:
    if receipts is None or callable(receipts):
        return receipts
    return ReceiptFolder(_home() / "receipts" if receipts == HOME_RECEIPTS else Path(receipts)).keep


def _tallies(folder: str | Path | None) -> TallyFolder | None:
    if folder is None:
        return None
    return TallyFolder(_home() / "vouchers" if folder == HOME_RECEIPTS else Path(folder))


def _home() -> Path:
    home = os.environ.get("COFFER_HOME", "")
    return Path(home) if home else Path.home() / ".coffer"
