"""Receipts: what was asked, answered and charged, in one signed object that anyone can check offline.

Query and passages appear only as commitments (rule R1); the licensee, who knows them, can open them to whom it likes in
a `ReceiptFile`, which carries everything the check needs. A simulated TEE's receipt is refused unless asked for (R3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.action import Scope
from vault.charter import Charter
from vault.codec import Digest, Length, PublicKey, Record
from vault.cose import MESSAGE_BYTES_MAX
from vault.dataset import DATASETS_MAX, resolved
from vault.envelope import PASSAGE_BYTES_MAX, decoded_passage, passage_commitment
from vault.errors import InvalidReceipt, VaultError
from vault.evidence import Appraiser, Binding, Evidence
from vault.head import Head
from vault.lease import Lease, agreed_terms, ledger_id
from vault.license import License
from vault.machine import MachineKey
from vault.manifest import Manifest
from vault.merkle import PATH_MAX, root_from_path
from vault.policy import K_LIMIT, SIMULATED, Policy
from vault.question import VECTOR_BYTES_MAX, Mode, Query, text_commitment, vector_commitment
from vault.receipt_message import receipt_digest as receipt_digest
from vault.receipt_message import signed_receipts, verified_message
from vault.record_encoding import encoded

FILE_BYTES_MAX = 4 << 20
FIRST_PREVIOUS = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageProof(Record):
    """One returned passage, hidden: its place in the owner's corpus and the path that proves it."""

    manifest: Cid
    index: int
    commitment: Digest  # the owner's
    path: Annotated[tuple[Digest, ...], Length(0, PATH_MAX)]
    redacted: Digest | None  # the commitment to what left in its place, where the policy redacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt(Record):
    """What the enclave vouches for."""

    TYPE: ClassVar[str] = "coffer/receipt/v1"

    genesis: Cid
    ledger: Digest
    entry: int  # sequence of the ledger entry that charged for it
    instance: PublicKey
    evidence: Digest
    head: Cid
    policy: Cid
    license: Cid
    request: Digest  # of the licensee's `Query`, its request id among it: what a retry must equal
    text: Digest  # commitment to the query's words
    vector: Digest  # commitment to the query's vector
    k: int
    passages: Annotated[tuple[PassageProof, ...], Length(0, K_LIMIT)]  # best first
    is_partial: bool  # the policy's limits held some back
    price: int
    currency: Annotated[str, Length(1, 12)]
    budget_left: int  # distinct passages that may still be seen: by this licensee, or by all strangers together
    tee: Annotated[str, Length(1, 20)]
    at: int
    sequence: int  # this licensee's receipts, from 1 without gaps
    previous: Digest  # SHA-256 of this licensee's receipt before; zeros before the first

    def encoded(self) -> bytes:
        """Return the record's canonical bytes."""
        return encoded(self)

    def signed(self, key: MachineKey) -> bytes:
        """Return the message over this receipt, signed alone."""
        return signed_receipts([self.encoded()], key)[0]


def verified_receipt(message: bytes, instance: bytes) -> Receipt:
    """Return the receipt that `instance` signed, alone or in a burst; raise `InvalidSignature` or `MalformedObject`."""
    return Receipt.from_bytes(verified_message(message, instance), bytes_max=MESSAGE_BYTES_MAX)


def redacted_commitment(salt: bytes, body: bytes) -> bytes:
    """Return the commitment to a passage as it left, redacted; it is never one of an owner's."""
    return sha256(b"coffer/redacted-passage/v1" + salt + body).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedPassage(Record):
    """A passage's bytes as they left, and the salt that the commitment to them was blinded with."""

    salt: Digest
    body: Annotated[bytes, Length(4, PASSAGE_BYTES_MAX)] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptFile(Record):
    """A receipt with all that an offline check needs: no network, no database, no trust in whoever hands it over."""

    TYPE: ClassVar[str] = "coffer/receipt-file/v1"

    message: Annotated[bytes, Length(64, MESSAGE_BYTES_MAX)]
    charter: Charter
    head: Head
    policy: Policy
    license: License
    manifests: Annotated[tuple[Manifest, ...], Length(1, DATASETS_MAX)]
    leases: Annotated[tuple[Lease, ...], Length(1, 16)]
    binding: Binding
    evidence: Evidence
    query: Query
    query_vector: Annotated[bytes, Length(0, VECTOR_BYTES_MAX)] = field(repr=False)  # the one that was searched with
    passages: Annotated[tuple[OpenedPassage, ...], Length(0, K_LIMIT)]


def verify_receipt_file(
    file: ReceiptFile, *, genesis: Cid, appraiser: Appraiser, allow_simulated: bool
) -> Iterator[str]:
    """Check a receipt link by link, yielding a sentence for each that holds.

    Raises: `InvalidReceipt` naming the first fact that does not hold.
    """
    try:
        receipt = verified_receipt(file.message, file.binding.receipt_key)
    except VaultError as error:
        raise InvalidReceipt(f"signature: {error}") from error
    for check in (
        _check_signature,
        _check_leases,
        _check_head,
        _check_license,
        _check_query,
        _check_passages,
        _check_owners,
    ):
        yield _held(check, file, receipt, genesis)
    yield _check_evidence(file, receipt, appraiser, allow_simulated=allow_simulated)


def verify_answer(file: ReceiptFile, receipt: Receipt, *, genesis: Cid) -> None:
    """Check what is new in an answer whose leases, head and evidence were verified before; raise `InvalidReceipt`.

    `receipt` is the file's own, its signature verified already. No wallet library is needed: manifests count by their
    CIDs, which the voted policy or the custodians' leases name.
    """
    for check in (_check_signature, _check_head, _check_query, _check_passages):
        _held(check, file, receipt, genesis)


_LinkCheck = Callable[[ReceiptFile, Receipt, Cid], str]


def _held(check: _LinkCheck, file: ReceiptFile, receipt: Receipt, genesis: Cid) -> str:
    try:
        return check(file, receipt, genesis)
    except InvalidReceipt:
        raise
    except VaultError as error:
        raise InvalidReceipt(str(error)) from error


def _require(holds: bool, wrong: str) -> None:
    if not holds:
        raise InvalidReceipt(wrong)


def _check_signature(file: ReceiptFile, receipt: Receipt, genesis: Cid) -> str:
    _require(receipt.instance == file.binding.receipt_key, "instance: not the key that the evidence vouches for")
    _require(receipt.genesis == genesis, "genesis: the receipt is from another DAO")
    _require(receipt.ledger == ledger_id(genesis), "ledger: not this DAO's books")
    return f"signed by enclave instance {receipt.instance.hex()[:16]}…"


def _check_leases(file: ReceiptFile, receipt: Receipt, genesis: Cid) -> str:
    _require(file.charter.cid() == genesis, "charter: not the one that founded this DAO")
    terms = agreed_terms(file.leases, file.charter, genesis=genesis, at=receipt.at)
    _require(terms.instance == receipt.instance, "instance: the custodians' leases name another")
    _require(terms.evidence == receipt.evidence, "evidence: the custodians' leases name another")
    _require(terms.head == receipt.head, "head: the custodians' leases name another")
    _require(terms.ledger == receipt.ledger, "ledger: the custodians' leases name another")
    return f"leased by {file.charter.signatures} of {len(file.charter.custodians)} custodians at epoch {terms.epoch}"


def _check_head(file: ReceiptFile, receipt: Receipt, _: Cid) -> str:
    policy = file.policy
    _require(file.head.cid() == receipt.head, "head: the file holds another head")
    _require(policy.cid() == receipt.policy, "policy: the file holds another policy")
    file.head.require_policy(receipt.policy)
    price = policy.price_of(len(receipt.passages))
    _require(receipt.price == price, f"price: the policy says {price} for {len(receipt.passages)} passages")
    _require(receipt.currency == policy.currency, f"currency: the policy says {policy.currency}")
    _require(len(receipt.passages) <= policy.k_max, "passages: more than the policy allows")
    _require(receipt.budget_left <= policy.passages_max, "budget_left: more than the policy's whole budget")
    return f"price {receipt.price} micro-{receipt.currency} is the voted policy's, in force at epoch {file.head.epoch}"


def _check_license(file: ReceiptFile, receipt: Receipt, genesis: Cid) -> str:
    license = file.license
    _require(license.cid() == receipt.license, "license: the file holds another license")
    license.verify(file.charter.domain(genesis))
    permit = file.policy.admit(license, k=file.query.passages_max, at=receipt.at)
    _require(
        not file.head.revoked_since(Scope.LICENSEE, license.licensee, license.epoch),
        "license: the DAO had revoked the licensee",
    )
    return f"licensed to 0x{permit.licensee.hex()}"


def _check_query(file: ReceiptFile, receipt: Receipt, _: Cid) -> str:
    query, most = file.query, file.query.passages_max
    _require(text_commitment(query.salt, query.text) == receipt.text, "text: not the question that was asked")
    _require(vector_commitment(query.salt, file.query_vector) == receipt.vector, "vector: not the one searched with")
    _require(query.vector in (b"", file.query_vector), "vector: not the one that was asked by")
    has_vector = query.options.mode is not Mode.KEYWORD or bool(query.vector)
    _require(bool(file.query_vector) == has_vector, "vector: there is one exactly where it ranks")
    _require(query.body_digest() == receipt.request, "request: not the one that was answered")
    _require(
        (query.policy, query.k) == (receipt.policy, receipt.k), "k: the question asks for another number, or policy"
    )
    _require(len(receipt.passages) <= most, f"passages: more than the {most} that the question asks for")
    _require(receipt.price <= query.price_max, f"price: the question allows {query.price_max}")
    outside = query.datasets and any(proof.manifest not in query.datasets for proof in receipt.passages)
    _require(not outside, "passages: one is from a dataset that the question leaves out")
    return "the question and its vector are the committed ones"


def _check_passages(file: ReceiptFile, receipt: Receipt, _: Cid) -> str:
    _require(len(receipt.passages) == len(file.passages), "passages: the file holds another number of them")
    manifests = {manifest.cid(): manifest for manifest in _meant(file, receipt)}
    for proof, opened in zip(receipt.passages, file.passages, strict=True):
        manifest = manifests.get(proof.manifest)
        if manifest is None:
            raise _wrong_passage(proof, "is not from a dataset of the policy")
        _check_opened(file, proof, opened)
        if root_from_path(proof.commitment, proof.index, manifest.passages, proof.path) != manifest.corpus_root:
            raise _wrong_passage(proof, "is not in the owner's corpus")
    owners = {manifests[proof.manifest].owner for proof in receipt.passages}
    least = file.policy.output.owners_min
    _require(not owners or len(owners) >= least, f"passages: of {len(owners)} owners, and the policy says {least}")
    blacked = sum(proof.redacted is not None for proof in receipt.passages)
    said = f"; {blacked} of them redacted, so their texts are the enclave's word" if blacked else ""
    return f"{len(file.passages)} passages are in the corpora that the policy names{said}"


def _meant(file: ReceiptFile, receipt: Receipt) -> tuple[Manifest, ...]:
    """Return the manifests that the policy means among those of the leases that the receipt rests on."""
    terms = [lease.terms for lease in file.leases if lease.terms.head == receipt.head]
    agreed = [term for term in terms if terms.count(term) >= file.charter.signatures]
    _require(bool(agreed), "manifests: fewer custodians' leases than needed name them")
    return resolved(file.policy.datasets, [one for one in file.manifests if one.cid() in agreed[0].manifests])


def _check_opened(file: ReceiptFile, proof: PassageProof, opened: OpenedPassage) -> None:
    decoded_passage(opened.body)
    if proof.redacted is None:
        if passage_commitment(opened.salt, opened.body) != proof.commitment:
            raise _wrong_passage(proof, "was changed")
        return
    if not file.policy.output.redacts:
        raise _wrong_passage(proof, "was redacted, and the policy redacts nothing")
    if redacted_commitment(opened.salt, opened.body) != proof.redacted:
        raise _wrong_passage(proof, "was changed")


def _wrong_passage(proof: PassageProof, what: str) -> InvalidReceipt:
    return InvalidReceipt(f"passages: passage {proof.index} of {proof.manifest} {what}")


def _check_owners(file: ReceiptFile, _: Receipt, genesis: Cid) -> str:
    for manifest in file.manifests:
        manifest.verify_owner(file.charter.domain(genesis))
    return f"{len(file.manifests)} manifests are as their owners signed them"


def _check_evidence(file: ReceiptFile, receipt: Receipt, appraiser: Appraiser, *, allow_simulated: bool) -> str:
    binding = file.binding
    _require(file.evidence.digest() == receipt.evidence, "evidence: the file holds another")
    _require(binding.genesis == receipt.genesis, "evidence: it vouches for another DAO")
    _require(binding.configuration in file.policy.configurations, "configuration: the policy does not accept it")
    try:
        appraisal = appraiser.appraise(file.evidence, binding=binding, accepted=file.policy.tees, at=receipt.at)
    except VaultError as error:
        raise InvalidReceipt(f"evidence: {error}") from error
    _require(appraisal.kind == receipt.tee, f"tee: the evidence is of kind {appraisal.kind}")
    _require(
        allow_simulated or appraisal.kind != SIMULATED,
        "tee: SIMULATED, which protects nothing; pass --allow-simulated if that is what you expect",
    )
    return f"enclave of kind {appraisal.kind} runs measurement {appraisal.measurement.hex()[:16]}…"
