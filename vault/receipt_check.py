"""Checking receipts offline: no network, no database, no trust in whoever hands them over (rules R1, R3).

A simulated TEE's receipt is refused unless asked for. Where the DAO's chain is at hand, every vote that led to the
receipt's head is counted again; otherwise the head is the word of the q custodians whose leases are checked (rule G5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from storage.cid import Cid
from vault import receipt_links as links
from vault.cose import MESSAGE_BYTES_MAX
from vault.envelope import Passage
from vault.errors import InvalidReceipt, StaleState, VaultError
from vault.evidence import Appraisal, Appraiser
from vault.lease import Terms, require_in_time
from vault.manifest import Manifest
from vault.receipt import Receipt, ReceiptFile
from vault.receipt_links import Basis
from vault.receipt_message import BurstHeads, verified_message
from vault.record_decoding import decoded

if TYPE_CHECKING:
    from vault.history import History

BASES_KEPT = 16  # of files that come mixed
Chain: TypeAlias = "Callable[[Cid, int], History]"
"""Verifies a DAO's chain from its charter up to a head, as of a time (UTC seconds)."""


@dataclass(slots=True)
class _Verified:
    """A basis, and what of it was verified so far."""

    basis: Basis
    terms: Terms
    manifests: Mapping[Cid, Manifest]
    history: History | None
    counted_at: int  # the earliest second as of which the votes were counted: what holds then holds later, not before
    sentences: dict[str, str] = field(default_factory=dict)
    appraised: dict[range, Appraisal] = field(default_factory=dict)  # by the seconds it holds for


class ReceiptCheck:
    """Checks receipts of one DAO; what several of them rest on is verified once."""

    def __init__(
        self, genesis: Cid, appraiser: Appraiser, *, allow_simulated: bool, chain: Chain | None = None
    ) -> None:
        """Check nothing yet.

        Args:
            chain: verifies the DAO's votes; without it, the custodians' word on the head counts.
        """
        self._genesis = genesis
        self._appraiser = appraiser
        self._allow_simulated = allow_simulated
        self._chain = chain
        self._heads = BurstHeads()
        self._kept: list[_Verified] = []

    def links(self, file: ReceiptFile) -> Iterator[str]:
        """Check a receipt link by link, yielding a sentence for each that holds.

        Raises: `InvalidReceipt` naming the first fact that does not hold.
        """
        with _Naming("signature"):
            body = verified_message(file.message, file.binding.receipt_key, self._heads)
        with _Naming("receipt"):
            receipt = decoded(Receipt, body, bytes_max=MESSAGE_BYTES_MAX)
        basis = Basis.of(file)
        yield links.check_origin(basis, receipt, self._genesis)
        verified = self._verified(basis, receipt)
        yield links.check_terms(basis, receipt, verified.terms)
        yield self._head(verified, receipt)
        yield links.check_price(basis, receipt)
        yield self._license(verified, receipt, file.query.passages_max)
        with _Naming("query"):
            yield links.check_query(file, receipt)
        with _Naming("passages"):
            passages = links.check_passages(file, receipt, verified.manifests)
        with _Naming("scores"):
            links.check_scores(file, receipt, passages)
        yield links.passages_told(receipt)
        yield self._owners(verified)
        yield self._machine(verified, receipt)

    def _verified(self, basis: Basis, receipt: Receipt) -> _Verified:
        """Return what is known of a basis, its leases verified and in time at the receipt's second."""
        for place, known in enumerate(self._kept):
            if known.basis == basis and known.terms.head == receipt.head:
                self._kept.insert(0, self._kept.pop(place))
                try:
                    require_in_time(basis.leases, basis.charter, known.terms, at=receipt.at)
                except StaleState as error:
                    raise InvalidReceipt(f"at: {error}") from error
                if receipt.at < known.counted_at:
                    known.history, known.counted_at = self._counted(receipt), receipt.at
                return known
        with _Naming("leases"):
            terms = links.leased_terms(basis.leases, basis.charter, genesis=self._genesis, at=receipt.at)
        links.check_terms(basis, receipt, terms)
        made = _Verified(basis, terms, {}, self._counted(receipt), receipt.at)
        links.check_head(basis, receipt, terms)
        made.manifests = links.meant_manifests(basis, terms.head)
        self._kept = [made, *self._kept[: BASES_KEPT - 1]]
        return made

    def _counted(self, receipt: Receipt) -> History | None:
        if self._chain is None:
            return None
        with _Naming("head"):
            return self._chain(receipt.head, receipt.at)

    def _head(self, verified: _Verified, receipt: Receipt) -> str:
        basis = verified.basis
        links.check_head(basis, receipt, verified.terms)
        if "head" not in verified.sentences:
            verified.sentences["head"] = (
                f"head of epoch {basis.head.epoch} is what these custodians signed; its votes were not counted again"
                if verified.history is None
                else links.check_chain(basis, verified.history, verified.terms)
            )
        return verified.sentences["head"]

    def _license(self, verified: _Verified, receipt: Receipt, asked: int) -> str:
        if "license" not in verified.sentences:
            links.check_license(verified.basis, self._genesis)
            verified.sentences["license"] = ""
        return links.check_permit(verified.basis, receipt, asked)

    def _owners(self, verified: _Verified) -> str:
        if "owners" not in verified.sentences:
            with _Naming("manifests"):
                verified.sentences["owners"] = links.check_owners(verified.basis, self._genesis)
        return verified.sentences["owners"]

    def _machine(self, verified: _Verified, receipt: Receipt) -> str:
        basis = verified.basis
        if "binding" not in verified.sentences:
            links.check_binding(basis, verified.terms)
            verified.sentences["binding"] = ""
        appraisal = next((found for when, found in verified.appraised.items() if receipt.at in when), None)
        if appraisal is None:
            appraisal = self._appraised(verified, receipt.at)
            links.check_allowed(verified.manifests, appraisal.kind)
        return links.check_machine(basis, receipt, appraisal, verified.history, allow_simulated=self._allow_simulated)

    def _appraised(self, verified: _Verified, at: int) -> Appraisal:
        """Appraise the evidence at a second; where it still holds as the last lease ends, it held in between.

        Certificates, collateral and grace periods have a beginning and an end, so what holds twice holds between.
        """
        basis, end = verified.basis, max(lease.not_after for lease in verified.basis.leases) - 1
        with _Naming("evidence"):
            appraisal = self._appraise(basis, at)
        try:
            is_same = end > at and self._appraise(basis, end) == appraisal
        except VaultError:
            is_same = False
        verified.appraised[range(at, (end if is_same else at) + 1)] = appraisal
        return appraisal

    def _appraise(self, basis: Basis, at: int) -> Appraisal:
        return self._appraiser.appraise(basis.evidence, binding=basis.binding, accepted=basis.policy.tees, at=at)


def verify_receipt_file(
    file: ReceiptFile, *, genesis: Cid, appraiser: Appraiser, allow_simulated: bool, chain: Chain | None = None
) -> Iterator[str]:
    """Check one receipt link by link; see `ReceiptCheck.links`."""
    return ReceiptCheck(genesis, appraiser, allow_simulated=allow_simulated, chain=chain).links(file)


class AnswerCheck:
    """Checks answers of one session, whose leases, head and evidence were verified before it."""

    __slots__ = ("_basis", "_genesis", "_manifests")

    def __init__(self, genesis: Cid) -> None:
        self._genesis = genesis
        self._basis: Basis | None = None  # of the answer before
        self._manifests: Mapping[Cid, Manifest] = {}  # that the policy means on it

    def verify(self, file: ReceiptFile, receipt: Receipt) -> list[Passage]:
        """Check what is new in an answer; return its passages, or raise `InvalidReceipt`.

        `receipt` is the file's own, its signature verified already. No wallet library is needed: manifests count by
        their CIDs, which the voted policy or the custodians' leases name.
        """
        basis = self._basis if self._basis is not None and self._basis.is_under(file) else Basis.of(file)
        links.check_origin(basis, receipt, self._genesis)
        terms = next((lease.terms for lease in file.leases if lease.terms.head == receipt.head), None)
        if terms is None:
            raise InvalidReceipt("head: the custodians' leases name another")
        links.check_head(basis, receipt, terms)
        links.check_price(basis, receipt)
        with _Naming("query"):
            links.check_query(file, receipt)
        with _Naming("passages"):
            passages = links.check_passages(file, receipt, self._meant(basis, receipt.head))
        with _Naming("scores"):
            links.check_scores(file, receipt, passages)
        return passages

    def _meant(self, basis: Basis, head: Cid) -> Mapping[Cid, Manifest]:
        """Return the manifests that the policy means, worked out once for a basis, whose one head it names."""
        if basis is not self._basis:
            self._manifests = links.meant_manifests(basis, head)
            self._basis = basis
        return self._manifests


def verify_answer(file: ReceiptFile, receipt: Receipt, *, genesis: Cid) -> None:
    """Check one answer alone; see `AnswerCheck.verify`."""
    AnswerCheck(genesis).verify(file, receipt)


class _Naming:
    """Turns any refusal into `InvalidReceipt`, naming the fact where the refusal itself does not."""

    __slots__ = ("_fact",)

    def __init__(self, fact: str) -> None:
        self._fact = fact

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, VaultError) and not isinstance(error, InvalidReceipt):
            raise InvalidReceipt(f"{self._fact}: {error}") from error
