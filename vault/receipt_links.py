"""The links of a receipt, each checked by itself: from what was answered up to owner, policy, custodians and hardware.

Every refusal begins with the name of the fact that does not hold. What receipts of one lease have in common, a `Basis`,
is judged apart from what is each receipt's own, so that who checks thousands verifies it once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.cid import Cid
from vault.action import Scope
from vault.attributed import require_weights
from vault.charter import Charter
from vault.dataset import only_of, resolved
from vault.envelope import Passage, decoded_passage, passage_commitment
from vault.errors import AccessDenied, InvalidReceipt, InvalidSignature, Revoked, StaleState
from vault.evidence import RELEASE, Appraisal, Binding, Evidence
from vault.head import Head
from vault.lease import Lease, Terms, agreed_terms, ledger_id
from vault.license import License
from vault.manifest import Manifest
from vault.merkle import root_from_path
from vault.permitted import is_permitted
from vault.policy import SIMULATED, Policy
from vault.question import Mode, text_commitment, vector_commitment
from vault.receipt import FIRST_PREVIOUS, OpenedPassage, PassageProof, Receipt, ReceiptFile, redacted_commitment
from vault.scores import packed_scores, rounded, unpacked_scores

if TYPE_CHECKING:
    from vault.history import History


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What a receipt rests on beside itself: the same for all that one licensee is given on one set of leases."""

    charter: Charter
    head: Head
    policy: Policy
    license: License
    manifests: tuple[Manifest, ...]
    leases: tuple[Lease, ...]
    binding: Binding
    evidence: Evidence

    @classmethod
    def of(cls, file: ReceiptFile) -> Basis:
        """Return what a file's receipt rests on."""
        return cls(
            charter=file.charter,
            head=file.head,
            policy=file.policy,
            license=file.license,
            manifests=file.manifests,
            leases=file.leases,
            binding=file.binding,
            evidence=file.evidence,
        )

    def is_under(self, file: ReceiptFile) -> bool:
        """Say whether a file's receipt rests on these very objects."""
        return (
            self.charter is file.charter
            and self.head is file.head
            and self.policy is file.policy
            and self.license is file.license
            and self.manifests is file.manifests
            and self.leases is file.leases
            and self.binding is file.binding
            and self.evidence is file.evidence
        )


def require(holds: bool, wrong: str) -> None:
    """Raise `InvalidReceipt` with what is wrong, the fact first."""
    if not holds:
        raise InvalidReceipt(wrong)


def check_origin(basis: Basis, receipt: Receipt, genesis: Cid) -> str:
    """Check whose receipt it is, and that it has a place among this licensee's."""
    require(receipt.instance == basis.binding.receipt_key, "instance: not the key that the evidence vouches for")
    require(receipt.genesis == genesis, "genesis: the receipt is from another DAO")
    require(receipt.ledger == ledger_id(genesis), "ledger: not this DAO's books")
    require(receipt.sequence >= 1, "sequence: a licensee's receipts count from 1")
    is_first = receipt.sequence == 1
    require(is_first == (receipt.previous == FIRST_PREVIOUS), "previous: exactly the first receipt follows none")
    require(receipt.entry >= receipt.sequence, "entry: every receipt has an entry of its own in the ledger")
    return f"signed by enclave instance {receipt.instance.hex()[:16]}…"


def leased_terms(leases: Sequence[Lease], charter: Charter, *, genesis: Cid, at: int) -> Terms:
    """Return what q custodians' leases agreed on at that time, every lease's signature verified."""
    require(charter.cid() == genesis, "charter: not the one that founded this DAO")
    try:
        return agreed_terms(leases, charter, genesis=genesis, at=at)
    except InvalidSignature as error:
        raise InvalidReceipt(f"leases: {error}") from error
    except StaleState as error:
        fact = "at" if any(_agreed(leases, charter, genesis, lease.issued_at) for lease in leases) else "leases"
        raise InvalidReceipt(f"{fact}: {error}") from error


def check_terms(basis: Basis, receipt: Receipt, terms: Terms) -> str:
    """Check what a receipt says of its enclave against what the custodians leased."""
    require(terms.instance == receipt.instance, "instance: the custodians' leases name another")
    require(terms.evidence == receipt.evidence, "evidence: the custodians' leases name another")
    require(terms.head == receipt.head, "head: the custodians' leases name another")
    require(terms.ledger == receipt.ledger, "ledger: the custodians' leases name another")
    require(receipt.entry > terms.anchor.sequence, "entry: from before the books that the leases go on from")
    window = terms.window
    if window is None:
        raise InvalidReceipt("leases: they give keys alone, and no window to serve in")
    require(receipt.price <= window.spend, f"price: the custodians' window lets {window.spend} through")
    charter = basis.charter
    return f"leased by {charter.signatures} of {len(charter.custodians)} custodians at epoch {terms.epoch}"


def check_head(basis: Basis, receipt: Receipt, terms: Terms) -> None:
    """Check that the head and the policy are those that receipt and leases name, and that the one has the other."""
    require(basis.head.cid() == receipt.head, "head: the file holds another head")
    require(basis.head.epoch == terms.epoch, "head: the leases name another epoch")
    require(basis.policy.cid() == receipt.policy, "policy: the file holds another policy")
    try:
        basis.head.require_policy(receipt.policy)
    except Revoked as error:
        raise InvalidReceipt(f"policy: {error}") from error


def check_chain(basis: Basis, history: History, terms: Terms) -> str:
    """Check a head against the chain that leads to it from the charter, every vote counted again."""
    require(history.head == basis.head, "head: not what the DAO's chain leads to")
    require(history.policies.get(basis.policy.cid()) == basis.policy, "policy: not one that the DAO's chain adopted")
    require(terms.window == history.charter.window, "leases: they grant another window than the charter's")
    licensee, adopted = basis.license.licensee, history.adopted[basis.policy.cid()]
    since = basis.policy.licensees.revocable_since(basis.license, adopted=adopted)
    is_revoked = history.head.revoked_since(Scope.LICENSEE, licensee, since)
    require(not is_revoked, "license: the DAO had revoked the licensee")
    return f"head of epoch {basis.head.epoch} follows from the charter: every vote on the way was counted again"


def check_price(basis: Basis, receipt: Receipt) -> str:
    """Check what was charged, and what is left, against the policy."""
    policy, before = basis.policy, max(0, receipt.sequence - 1)
    price = policy.price_of(len(receipt.passages), before=before)
    said = f"for {len(receipt.passages)} passages"
    if policy.free_queries or policy.tiers:
        said += f" after {before} answers"
    require(receipt.price == price, f"price: the policy says {price} {said}")
    require(receipt.currency == policy.currency, f"currency: the policy says {policy.currency}")
    require(len(receipt.passages) <= policy.k_max, "passages: more than the policy allows")
    most = policy.passages_max - bool(receipt.passages)
    require(receipt.budget_left <= most, f"budget_left: the policy leaves {most} at most after this answer")
    return f"price {receipt.price} micro-{receipt.currency} is the voted policy's, in force at epoch {basis.head.epoch}"


def check_license(basis: Basis, genesis: Cid) -> None:
    """Check that the license was granted for this DAO by whom it names, and was not revoked."""
    license = basis.license
    require(license.genesis == genesis, "license: of another DAO")
    require(license.epoch <= basis.head.epoch, "license: granted at an epoch that had not come")
    try:
        license.verify(basis.charter.domain(genesis))
    except InvalidSignature as error:
        raise InvalidReceipt(f"license: {error}") from error
    is_revoked = basis.head.revoked_since(Scope.LICENSEE, license.licensee, license.epoch)
    require(not is_revoked, "license: the DAO had revoked the licensee")


def check_permit(basis: Basis, receipt: Receipt, asked: int) -> str:
    """Check that the policy let this licensee ask at that time, for so many passages."""
    require(basis.license.cid() == receipt.license, "license: the file holds another license")
    require(receipt.at >= basis.license.issued_at, "license: not issued yet at that time")
    try:
        permit = basis.policy.admit(basis.license, k=asked, at=receipt.at)
    except AccessDenied as error:
        raise InvalidReceipt(f"license: {error}") from error
    return f"licensed to 0x{permit.licensee.hex()}"


def check_query(file: ReceiptFile, receipt: Receipt) -> str:
    """Check that question and vector are the committed ones, and that the answer is one that the question allows."""
    query, most = file.query, file.query.passages_max
    require(text_commitment(query.salt, query.text) == receipt.text, "text: not the question that was asked")
    require(vector_commitment(query.salt, file.query_vector) == receipt.vector, "vector: not the one searched with")
    require(query.vector in (b"", file.query_vector), "vector: not the one that was asked by")
    has_vector = query.options.mode is not Mode.KEYWORD or bool(query.vector)
    require(bool(file.query_vector) == has_vector, "vector: there is one exactly where it ranks")
    require(query.body_digest() == receipt.request, "request: not the one that was answered")
    require(query.policy == receipt.policy, "policy: the question was asked under another")
    require(query.k == receipt.k, "k: the question asks for another number")
    require(len(receipt.passages) <= most, f"passages: more than the {most} that the question asks for")
    require(receipt.price <= query.price_max, f"price: the question allows {query.price_max}")
    outside = query.datasets and any(proof.manifest not in query.datasets for proof in receipt.passages)
    require(not outside, "passages: one is from a dataset that the question leaves out")
    return "the question and its vector are the committed ones"


def meant_manifests(basis: Basis, head: Cid) -> Mapping[Cid, Manifest]:
    """Return the manifests that the policy means among those of the leases that a receipt rests on."""
    terms = [lease.terms for lease in basis.leases if lease.terms.head == head]
    agreed = [term for term in terms if terms.count(term) >= basis.charter.signatures]
    require(bool(agreed), "manifests: fewer custodians' leases than needed name them")
    named = [one for one in basis.manifests if one.cid() in agreed[0].manifests]
    try:
        return {manifest.cid(): manifest for manifest in resolved(basis.policy.datasets, named)}
    except AccessDenied as error:
        raise InvalidReceipt(f"manifests: {error}") from error


def check_scores(file: ReceiptFile, receipt: Receipt, passages: Sequence[Passage]) -> None:
    """Check that every passage has a score, no more exact than the policy lets out, best first.

    Args:
        passages: as `check_passages` read them.
    """
    scores = unpacked_scores(receipt.scores)
    require(len(scores) == len(receipt.passages), "scores: not one for each passage")
    decimals = file.policy.output.score_decimals
    are_rounded = packed_scores([rounded(score, decimals) for score in scores]) == receipt.scores
    require(are_rounded, f"scores: more exact than the {decimals} decimals that the policy lets out")
    is_ranked = file.query.options.diversity > 0 or list(scores) == sorted(scores, reverse=True)
    require(is_ranked, "scores: not best first")
    require_weights(
        file.policy.attribution,
        receipt.weights,
        scores,
        [passage.lasting for passage in passages],
        redacts=bool(file.policy.output.redacts),
    )


def check_passages(file: ReceiptFile, receipt: Receipt, manifests: Mapping[Cid, Manifest]) -> list[Passage]:
    """Check that each passage is one of its owner's corpus, as it left; return what they say."""
    require(len(receipt.passages) == len(file.passages), "passages: the file holds another number of them")
    places = {(proof.manifest, proof.index) for proof in receipt.passages}
    require(len(places) == len(receipt.passages), "passages: one stands twice")
    passages = []
    limited = only_of(file.policy.datasets, manifests.values())
    for proof, opened in zip(receipt.passages, file.passages, strict=True):
        manifest = manifests.get(proof.manifest)
        if manifest is None:
            raise _wrong_passage(proof, "is not from a dataset of the policy")
        passages.append(_opened(file.policy, proof, opened))
        only = limited.get(proof.manifest, b"") if proof.redacted is None else b""
        if only and not is_permitted(passages[-1], manifest.owner, only):
            raise _wrong_passage(proof, "is not one that the policy lets be found")
        if root_from_path(proof.commitment, proof.index, manifest.passages, proof.path) != manifest.corpus_root:
            raise _wrong_passage(proof, "is not in the owner's corpus")
    owners = {manifests[proof.manifest].owner for proof in receipt.passages}
    least = file.policy.output.owners_min
    require(not owners or len(owners) >= least, f"passages: of {len(owners)} owners, and the policy says {least}")
    hides = least > 1 and not owners and receipt.k > 0
    require(receipt.is_partial or not hides, "is_partial: an answer without owners enough says so")
    return passages


def passages_told(receipt: Receipt) -> str:
    """Return what is known of a receipt's passages once they were checked."""
    blacked = sum(proof.redacted is not None for proof in receipt.passages)
    said = f"; {blacked} of them redacted, so their texts are the enclave's word" if blacked else ""
    return f"{len(receipt.passages)} passages are in the corpora that the policy names{said}"


def check_owners(basis: Basis, genesis: Cid) -> str:
    """Check that every manifest is as its owner signed it."""
    for manifest in basis.manifests:
        try:
            manifest.verify_owner(basis.charter.domain(genesis))
        except InvalidSignature as error:
            raise InvalidReceipt(f"manifests: {error}") from error
    return f"{len(basis.manifests)} manifests are as their owners signed them"


def check_binding(basis: Basis, terms: Terms) -> None:
    """Check that the evidence is the leased one, made for these custodians' challenges and an accepted setting."""
    binding = basis.binding
    require(basis.evidence.digest() == terms.evidence, "evidence: the file holds another")
    require(binding.genesis == terms.genesis, "binding: it vouches for another DAO")
    require(binding.purpose == RELEASE, "binding: made for something else than leases")
    require(binding.configuration in basis.policy.configurations, "configuration: the policy does not accept it")
    for lease in basis.leases:
        if lease.terms != terms:
            continue
        try:
            binding.require_nonce(lease.custodian, lease.nonce)
        except AccessDenied as error:
            raise InvalidReceipt(f"binding: not made for the challenge that a lease answers: {error}") from error


def check_machine(
    basis: Basis, receipt: Receipt, appraisal: Appraisal, history: History | None, *, allow_simulated: bool
) -> str:
    """Check what machine it was, against the receipt, the owners and what the DAO revoked."""
    kind = appraisal.kind
    require(kind == receipt.tee, f"tee: the evidence is of kind {kind}")
    require(
        allow_simulated or kind != SIMULATED,
        "tee: SIMULATED, which protects nothing; pass --allow-simulated if that is what you expect",
    )
    if history is not None:
        adopted = history.adopted[basis.policy.cid()]
        for measurement in appraisal.measurements:
            is_revoked = history.head.revoked_since(Scope.MEASUREMENT, measurement, adopted)
            require(not is_revoked, "measurement: the DAO had revoked it")
    vouching = "a simulator vouches for it, and no vendor" if kind == SIMULATED else "evidence holds up to the vendor"
    return f"enclave of kind {kind} runs measurement {appraisal.measurement.hex()[:16]}…; {vouching}"


def check_allowed(manifests: Mapping[Cid, Manifest], kind: str) -> None:
    """Check that the owners let a machine of that kind hold their keys."""
    for manifest in manifests.values():
        is_allowed = kind != SIMULATED or manifest.allow_simulated
        require(is_allowed, f"manifests: the owner of {manifest.cid()} does not allow a simulated TEE")


def _agreed(leases: Sequence[Lease], charter: Charter, genesis: Cid, at: int) -> bool:
    try:
        agreed_terms(leases, charter, genesis=genesis, at=at)
    except StaleState:
        return False
    return True


def _opened(policy: Policy, proof: PassageProof, opened: OpenedPassage) -> Passage:
    passage = decoded_passage(opened.body)
    if proof.redacted is None:
        if passage_commitment(opened.salt, opened.body) != proof.commitment:
            raise _wrong_passage(proof, "was changed")
        return passage
    if not policy.output.redacts:
        raise _wrong_passage(proof, "was redacted, and the policy redacts nothing")
    if redacted_commitment(opened.salt, opened.body) != proof.redacted:
        raise _wrong_passage(proof, "was changed")
    return passage


def _wrong_passage(proof: PassageProof, what: str) -> InvalidReceipt:
    return InvalidReceipt(f"passages: passage {proof.index} of {proof.manifest} {what}")
