"""A valid receipt file, put together again with one thing changed and all that hangs on it signed anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cbor2

from tests.enclaves import APPRAISER, World, attester
from tests.people import resigned, wallet
from vault.cose import CONTENT_TYPE, EDDSA, key_id
from vault.dataset import DatasetRef
from vault.lease import Lease
from vault.machine import MachineKey
from vault.question import text_commitment, vector_commitment
from vault.receipt import Receipt, ReceiptFile, verified_receipt
from vault.receipt_check import verify_receipt_file
from vault.receipt_message import AAD

Changes = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """Two answers' files, in order, and the key of the instance that signed them."""

    world: World
    first: ReceiptFile
    file: ReceiptFile
    key: MachineKey

    @property
    def receipt(self) -> Receipt:
        return verified_receipt(self.file.message, self.key.public)

    def verify(self, file: ReceiptFile, **options: Any) -> list[str]:
        usual: dict[str, Any] = {"genesis": self.world.genesis, "appraiser": APPRAISER, "allow_simulated": True}
        return list(verify_receipt_file(file, **(usual | options)))

    def resigned(self, **changed: Any) -> ReceiptFile:
        """Return the file with some of the receipt's facts changed, signed by the true instance all the same."""
        return self.with_message(replace(self.receipt, **changed).signed(self.key))

    def with_message(self, message: bytes) -> ReceiptFile:
        """Return the file around another message."""
        return replace(self.file, message=message)

    def forged(self, **changes: Any) -> ReceiptFile:
        """Return the file with fields of its parts changed, and every part that names or signs them made anew.

        Args:
            changes: by part, the fields that change: manifest, policy, head, license, query, binding, terms, lease,
                receipt; `evidence` is how a machine makes it of report data, `file` replaces parts at the very end.
        """
        return _forged(self, changes)

    def leases(self, terms: Sequence[Changes], **fields: Any) -> tuple[Lease, ...]:
        """Return a lease of each of the first custodians, with these changes of its terms, truly signed."""
        made = []
        for lease, change in zip(self.file.leases, terms, strict=False):
            changed = replace(lease, terms=replace(lease.terms, **change), **fields)
            made.append(changed.signed_by(_custodian(self, lease.custodian)))
        return tuple(made)


def _forged(case: Case, changes: dict[str, Any]) -> ReceiptFile:
    file, history = case.file, case.world.history

    def changed(part: str) -> Changes:
        found: Changes = changes.get(part, {})
        return found

    manifests = file.manifests
    if "manifest" in changes:
        first = resigned(history, wallet("owner"), manifests[0], **changed("manifest"))
        manifests = (first, *manifests[1:])
    policy = replace(file.policy, datasets=tuple(map(DatasetRef.pinned, manifests)))
    policy = replace(policy, **changed("policy"))
    head = replace(file.head, **({"policies": (policy.cid(),)} | changed("head")))
    named = {"policy": policy.cid()} | changed("license")
    license = resigned(history, wallet("issuer"), file.license, **named)
    query = replace(file.query, **({"policy": policy.cid()} | changed("query")))
    binding = replace(file.binding, **changed("binding"))
    evidence = file.evidence
    if "binding" in changes or "evidence" in changes:
        evidence = changes.get("evidence", attester().evidence)(binding.report_data())
    renamed = {old.cid(): new.cid() for old, new in zip(file.manifests, manifests, strict=True)}
    terms = {"head": head.cid(), "evidence": evidence.digest(), "manifests": tuple(renamed.values())}
    leases = case.leases([terms | changed("terms")] * len(file.leases), **changed("lease"))
    proofs = tuple(replace(proof, manifest=renamed[proof.manifest]) for proof in case.receipt.passages)
    follows: Changes = {
        "head": head.cid(),
        "policy": policy.cid(),
        "license": license.cid(),
        "evidence": evidence.digest(),
        "request": query.body_digest(),
        "text": text_commitment(query.salt, query.text),
        "vector": vector_commitment(query.salt, file.query_vector),
        "passages": proofs,
    }
    receipt = replace(case.receipt, **(follows | changed("receipt")))
    made: Changes = {
        "message": receipt.signed(case.key),
        "head": head,
        "policy": policy,
        "license": license,
        "manifests": manifests,
        "leases": leases,
        "binding": binding,
        "evidence": evidence,
        "query": query,
    }
    return replace(file, **(made | changed("file")))


def _custodian(case: Case, key: bytes) -> MachineKey:
    return next(one.signing for one in case.world.dao.custodians if one.signing.public == key)


def cose(
    key: MachineKey,
    payload: Any,
    *,
    header: Any = None,
    unprotected: Any = None,
    aad: bytes = AAD,
    context: str = "Signature1",
    protected: bytes | None = None,
    tag: int | None = 18,
) -> bytes:
    """Return a COSE_Sign1 message of any form, correctly signed over that form (RFC 9052, section 4.4)."""
    usual = {1: EDDSA, 3: CONTENT_TYPE, 4: key_id(key.public)}
    if protected is None:
        protected = cbor2.dumps(usual if header is None else header, canonical=True)
    signature = key.sign(cbor2.dumps([context, protected, aad, payload]))
    body = [protected, {} if unprotected is None else unprotected, payload, signature]
    return cbor2.dumps(body if tag is None else cbor2.CBORTag(tag, body))
