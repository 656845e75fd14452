"""Receipts wrong in one thing, signed and linked truly in all others: each is refused, and the thing is named.

Every case is made from a valid receipt. What hangs on the changed fact is made anew and signed by whoever would sign
it, so that nothing but this fact can be what refuses it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import cbor2
import pytest

from enclave.attestation.appraise import EvidenceAppraiser
from storage.cid import DAG_CBOR, Cid
from tests.deployment import deployed
from tests.enclaves import APPRAISER, SIMULATOR, attester, license_of, world
from tests.people import DAY_S, NOW, resigned, seeded, wallet
from tests.vault.forged_receipts import Case, cose
from vault.action import Scope
from vault.charter import Window
from vault.codec import encode
from vault.cose import CONTENT_TYPE, EDDSA, key_id, sign1
from vault.errors import InvalidReceipt, MalformedObject
from vault.evidence import SERVE, Evidence
from vault.head import Revocation
from vault.lease import Anchor
from vault.licensees import Licensees
from vault.machine import MachineKey
from vault.merkle import Tree, leaf_hash
from vault.output_rules import EVERYTHING
from vault.policy import AcceptedTee
from vault.question import PLAIN, Mode
from vault.receipt import OpenedPassage, ReceiptFile
from vault.receipt_check import ReceiptCheck
from vault.receipt_message import AAD, BURST_AAD, Burst, ReceiptInBurst, signed_receipts
from vault.receipt_reading import ReceiptReader

OTHER = seeded("other")
MALLORY = MachineKey(seeded("mallory"))
ORDER = 2**252 + 27742317777372353535851937790883648493  # of Ed25519's group, RFC 8032, section 5.1
Made = ReceiptFile | bytes
Wrong = tuple[str, Callable[[Case], Made]]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    with deployed(tmp_path_factory.mktemp("deployment"), world(custodians=3)) as deployment:
        deployment.add_credit(1_000)
        with deployment.client() as client:
            first = client.search("rain", k=1).file
            second = client.search("tide table", k=2).file
        yield Case(deployment.world, first, second, deployment.enclave.keys.receipt)


def receipt(fact: str, **changed: Any) -> Wrong:
    """Return the case of one field of the receipt, signed by the instance; callables are given the case."""
    return fact, lambda case: case.resigned(
        **{name: value(case) if callable(value) else value for name, value in changed.items()}
    )


def proof(**changed: Any) -> Wrong:
    """Return the case of one field of the first passage's proof."""

    def made(case: Case) -> ReceiptFile:
        first, *rest = case.receipt.passages
        values = {name: value(first) if callable(value) else value for name, value in changed.items()}
        return case.resigned(passages=(replace(first, **values), *rest))

    return "passages", made


def part(fact: str, **changes: Any) -> Wrong:
    """Return the case of fields of one part of the file, with all that hangs on them made anew."""
    return fact, lambda case: case.forged(**{name: _given(case, fields) for name, fields in changes.items()})


def _given(case: Case, fields: Any) -> Any:
    return {name: value(case) if callable(value) else value for name, value in fields.items()}


def message(**form: Any) -> Wrong:
    """Return the case of a COSE message of another form over the true receipt, truly signed over that form."""
    return "signature", lambda case: case.with_message(
        cose(form.get("key", case.key), form.get("payload", case.receipt.encoded()), **_form(case, form))
    )


def _form(case: Case, form: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in form.items() if name not in ("key", "payload")}
    return {name: value(case) if callable(value) else value for name, value in given.items()}


def header(**changed: Any) -> Callable[[Case], dict[Any, Any]]:
    """Return the protected header with parameters changed, added, or left out where they are None."""
    labels: dict[str, Any] = {"crit": 2, "alg": 1, "type": 3, "kid": 4, "iv": 5, "x5chain": 33, "unknown": 99}

    def made(case: Case) -> dict[Any, Any]:
        whole: dict[Any, Any] = {1: EDDSA, 3: CONTENT_TYPE, 4: key_id(case.key.public)}
        whole |= {labels[name]: value for name, value in changed.items()}
        return {label: value for label, value in whole.items() if value is not None}

    return made


def payload(change: Callable[[bytes], bytes]) -> Wrong:
    """Return the case of a receipt's bytes that are not canonical, or not a receipt's, truly signed in COSE."""
    return "receipt", lambda case: case.with_message(sign1(case.key, change(case.receipt.encoded()), external_aad=AAD))


def value(change: Callable[[dict[str, Any]], Any]) -> Wrong:
    """Return the case of a receipt whose map holds something else, canonically encoded and truly signed."""

    def made(data: bytes) -> bytes:
        found = cbor2.loads(data)
        encoded: bytes = cbor2.dumps(change(found) or found, canonical=True)
        return encoded

    return payload(made)


def bytes_of(change: Callable[[bytes], bytes]) -> Wrong:
    """Return the case of a message's bytes changed after it was signed."""
    return "signature", lambda case: case.with_message(change(case.file.message))


def whole(change: Callable[[bytes], bytes]) -> Wrong:
    """Return the case of a file's bytes."""
    return "file", lambda case: change(case.file.encoded())


def burst(change: Callable[[Case, ReceiptInBurst], Any]) -> Wrong:
    """Return the case of a receipt in a burst of five of its instance; one fact of its message is another."""

    def made(case: Case) -> ReceiptFile:
        receipts = [case.receipt.encoded(), *(seeded(f"receipt {n}", 64) for n in range(4))]
        signed = ReceiptInBurst.from_bytes(signed_receipts(receipts, case.key)[0])
        changed = change(case, signed)
        return case.with_message(changed if isinstance(changed, bytes) else changed.encoded())

    return "signature", made


def leases(fact: str, made: Callable[[Case], Any]) -> Wrong:
    """Return the case of other leases."""
    return fact, lambda case: replace(case.file, leases=tuple(made(case)))


def file(fact: str, **changed: Callable[[Case], Any]) -> Wrong:
    """Return the case of another part in the file."""
    return fact, lambda case: replace(case.file, **{name: value(case) for name, value in changed.items()})


def _reordered(data: bytes) -> bytes:
    found = cbor2.loads(data)
    encoded: bytes = cbor2.dumps(dict(reversed(list(found.items()))))
    return encoded


def _head_of(case: Case, size: int, root: bytes, *, key: MachineKey | None = None, aad: bytes = BURST_AAD) -> bytes:
    body = encode({"type": Burst.TYPE, "size": size, "root": root})
    return sign1(key or case.key, body, external_aad=aad)


def _malleable(data: bytes) -> bytes:
    s = int.from_bytes(data[-32:], "little") + ORDER
    return data[:-32] + s.to_bytes(32, "little")


def _scores(*scores: float) -> bytes:
    return struct.pack(f">{len(scores)}d", *scores)


RECEIPT: dict[str, Wrong] = {
    "genesis of another DAO": receipt("genesis", genesis=lambda case: case.world.policy.cid()),
    "another ledger": receipt("ledger", ledger=OTHER),
    "another instance": receipt("instance", instance=OTHER),
    "another evidence": receipt("evidence", evidence=OTHER),
    "another head": receipt("head", head=lambda case: case.world.genesis),
    "another policy": receipt("policy", policy=lambda case: case.world.genesis),
    "another license": receipt("license", license=lambda case: case.world.genesis),
    "another request": receipt("request", request=OTHER),
    "another text": receipt("text", text=OTHER),
    "another vector": receipt("vector", vector=OTHER),
    "k lower than asked": receipt("k", k=1),
    "k higher than asked": receipt("k", k=3),
    "a passage left out": receipt("passages", passages=lambda case: case.receipt.passages[:1]),
    "a passage twice": receipt("passages", passages=lambda case: case.receipt.passages[:1] * 2),
    "passages in another order": receipt("passages", passages=lambda case: case.receipt.passages[::-1]),
    "no passages": receipt("price", passages=(), price=101),
    "scores of another number": receipt("scores", scores=_scores(0.5)),
    "half a score": receipt("scores", scores=_scores(0.5, 0.5)[:-4]),
    "a score that is no number": receipt("scores", scores=_scores(float("nan"), 0.1)),
    "an endless score": receipt("scores", scores=_scores(float("inf"), 0.1)),
    "scores not best first": receipt("scores", scores=_scores(0.1, 0.5)),
    "a score too exact": receipt("scores", scores=_scores(0.5, 0.12345678901)),
    "weights of another number": receipt("weights", weights=(840,)),
    "weights of another attribution": receipt("weights", weights=(1, 1)),
    "a first passage that counts nothing": receipt("weights", weights=(0, 420)),
    "a weight that its rank does not give": receipt("weights", weights=(840, 421)),
    "a score of minus zero": receipt("scores", scores=_scores(0.5, -0.0)),
    "a higher price": receipt("price", price=101),
    "a lower price": receipt("price", price=99),
    "no price": receipt("price", price=0),
    "another currency": receipt("currency", currency="SHELLS"),
    "more budget than there is": receipt("budget_left", budget_left=1001),
    "a budget that nothing was taken from": receipt("budget_left", budget_left=1000),
    "another kind of TEE": receipt("tee", tee="tdx"),
    "before its leases": receipt("at", at=lambda case: case.file.leases[0].issued_at - 31),
    "as its leases end": receipt("at", at=lambda case: case.file.leases[0].not_after),
    "at no time": receipt("at", at=0),
    "sequence 0": receipt("sequence", sequence=0),
    "the first, and one before it": receipt("previous", sequence=1),
    "the second, and none before it": receipt("previous", previous=bytes(32)),
    "entry 0": receipt("entry", entry=0),
    "fewer entries than receipts": receipt("entry", sequence=9),
    "an entry from before its leases": part("entry", terms={"anchor": Anchor(sequence=1 << 20, mac=OTHER)}),
    "a passage of another manifest": proof(manifest=lambda first: first.manifest.of(0x71, b"another")),
    "a passage of another place": proof(index=lambda first: (first.index + 1) % 3),
    "a passage outside the corpus": proof(index=99),
    "another commitment": proof(commitment=OTHER),
    "another node on the path": proof(path=lambda first: (OTHER, *first.path[1:])),
    "a path too long": proof(path=lambda first: (*first.path, OTHER)),
    "a path too short": proof(path=()),
    "redacted under a policy that redacts nothing": proof(redacted=OTHER),
}
HEADERS: dict[str, Wrong] = {
    "algorithm ES256": message(header=header(alg=-7)),
    "algorithm Ed25519, fully specified": message(header=header(alg=-19)),
    "algorithm HMAC": message(header=header(alg=5)),
    "algorithm by name": message(header=header(alg="EdDSA")),
    "no algorithm": message(header=header(alg=None)),
    "no algorithm, an unprotected one": message(header=header(alg=None), unprotected={1: EDDSA}),
    "an unprotected algorithm beside the protected one": message(unprotected={1: EDDSA}),
    "another unprotected algorithm": message(unprotected={1: -7}),
    "another content type": message(header=header(type="application/cbor")),
    "a content type by number": message(header=header(type=60)),
    "no content type": message(header=header(type=None)),
    "key id of another": message(header=header(kid=key_id(MALLORY.public))),
    "key id as text": message(header=header(kid="instance")),
    "key id in full": message(header=lambda case: header(kid=case.key.public)(case)),
    "no key id": message(header=header(kid=None)),
    "an unprotected key id": message(header=header(kid=None), unprotected={4: b"instance"}),
    "a critical header nobody knows": message(header=header(crit=[99], unknown=True)),
    "an empty list of critical headers": message(header=header(crit=[])),
    "a critical header that is known": message(header=header(crit=[1])),
    "one more protected header": message(header=header(unknown=1)),
    "an initialization vector": message(header=header(iv=bytes(8))),
    "a chain of certificates": message(unprotected={33: [bytes(100)]}),
    "a countersignature": message(unprotected={11: [b"", {}, bytes(64)]}),
    "headers in another order": message(
        protected=lambda case: cbor2.dumps({4: key_id(case.key.public), 3: CONTENT_TYPE, 1: EDDSA})
    ),
    "algorithm twice": message(
        protected=lambda case: b"\xa4\x01\x27" + cbor2.dumps(header()(case), canonical=True)[1:]
    ),
    "another algorithm first": message(
        protected=lambda case: b"\xa4\x01\x26" + cbor2.dumps(header()(case), canonical=True)[1:]
    ),
    "algorithm not in its shortest form": message(
        protected=lambda case: cbor2.dumps(header()(case), canonical=True).replace(b"\x01\x27", b"\x01\x38\x07")
    ),
    "headers of indefinite length": message(
        protected=lambda case: b"\xbf" + cbor2.dumps(header()(case), canonical=True)[1:] + b"\xff"
    ),
    "protected header empty": message(protected=b""),
    "protected header an empty map": message(protected=b"\xa0"),
    "a byte after the protected header": message(
        protected=lambda case: cbor2.dumps(header()(case), canonical=True) + b"\x00"
    ),
    "another external aad": message(aad=b"coffer/receipt/v2"),
    "a burst's external aad": message(aad=BURST_AAD),
    "no external aad": message(aad=b""),
    "context of COSE_Sign": message(context="Signature"),
    "context of COSE_Mac": message(context="MAC0"),
    "detached payload": message(payload=None),
    "payload as text": message(payload="receipt"),
    "payload unwrapped": message(payload={"type": "coffer/receipt/v1"}),
    "untagged": message(tag=None),
    "tag of COSE_Sign": message(tag=98),
    "tag of COSE_Mac0": message(tag=17),
    "signed by another": message(key=MALLORY),
}
MESSAGES: dict[str, Wrong] = {
    "trailing byte": bytes_of(lambda data: data + b"\x00"),
    "two messages": bytes_of(lambda data: data * 2),
    "cut short": bytes_of(lambda data: data[:-1]),
    "tag twice": bytes_of(lambda data: b"\xd2" + data),
    "self-described CBOR": bytes_of(lambda data: b"\xd9\xd9\xf7" + data),
    "array of indefinite length": bytes_of(lambda data: b"\xd2\x9f" + data[2:] + b"\xff"),
    "array of five": bytes_of(lambda data: b"\xd2\x85" + data[2:] + b"\xf6"),
    "array length not the shortest": bytes_of(lambda data: b"\xd2\x98\x04" + data[2:]),
    "tag not the shortest": bytes_of(lambda data: b"\xd8\x12" + data[1:]),
    "signature length not the shortest": bytes_of(lambda data: data[:-66] + b"\x59\x00\x40" + data[-64:]),
    "signature of 63 bytes": bytes_of(lambda data: data[:-66] + b"\x58\x3f" + data[-63:]),
    "signature of 65 bytes": bytes_of(lambda data: data[:-66] + b"\x58\x41" + data[-64:] + b"\x00"),
    "signature as text": bytes_of(lambda data: data[:-66] + b"\x78\x40" + data[-64:]),
    "signature of zeros": bytes_of(lambda data: data[:-64] + bytes(64)),
    "signature altered by the group's order": bytes_of(_malleable),
    "a bit of the signature": bytes_of(lambda data: data[:-1] + bytes([data[-1] ^ 0x40])),
    "a bit of the receipt": bytes_of(lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:]),
    "another answer's message": ("text", lambda case: case.with_message(case.first.message)),
}
PAYLOADS: dict[str, Wrong] = {
    "keys in another order": payload(_reordered),
    "a key twice": payload(lambda data: b"\xb8\x1a\x61k\x02" + data[2:]),
    "a byte after it": payload(lambda data: data + b"\x00"),
    "a map of indefinite length": payload(lambda data: b"\xbf" + data[2:] + b"\xff"),
    "a number not in its shortest form": payload(lambda data: data.replace(b"\x61k\x02", b"\x61k\x18\x02")),
    "a number as a float": value(lambda found: found.update(price=100.0)),
    "a number as text": value(lambda found: found.update(price="100")),
    "a negative number": value(lambda found: found.update(price=-100)),
    "a number over 63 bits": value(lambda found: found.update(entry=1 << 63)),
    "yes in place of a number": value(lambda found: found.update(k=True)),
    "nothing in place of a digest": value(lambda found: found.update(request=None)),
    "a digest of 31 bytes": value(lambda found: found.update(previous=bytes(31))),
    "a tagged time": value(lambda found: found.update(at=cbor2.CBORTag(1, found["at"]))),
    "a link under another tag": value(lambda found: found.update(head=cbor2.CBORTag(43, found["head"].value))),
    "a link of another hash": value(lambda found: found.update(head=cbor2.CBORTag(42, b"\x00\x01\x71\x00\x00"))),
    "a field too many": value(lambda found: found.update(note="")),
    "a field too few": value(lambda found: dict(list(found.items())[:-1])),
    "another type": value(lambda found: found.update(type="coffer/receipt/v2")),
    "a list": value(lambda found: list(found.values())),
    "text that is not UTF-8": payload(lambda data: data.replace(b"\x64USDC", b"\x64\xff\xff\xff\xff")),
}
BURSTS: dict[str, Wrong] = {
    "another place": burst(lambda case, part: replace(part, index=1)),
    "a place outside": burst(lambda case, part: replace(part, index=5)),
    "another node": burst(lambda case, part: replace(part, path=(OTHER, *part.path[1:]))),
    "a path too long": burst(lambda case, part: replace(part, path=(*part.path, OTHER))),
    "a path too short": burst(lambda case, part: replace(part, path=part.path[:-1])),
    "another receipt": burst(lambda case, part: replace(part, receipt=case.receipt.encoded() + b"\x00")),
    "a head by another": burst(lambda case, part: replace(part, head=_head_of(case, 2, OTHER, key=MALLORY))),
    "a head of another root": burst(lambda case, part: replace(part, head=_head_of(case, 5, OTHER))),
    "a head of another size": burst(lambda case, part: replace(part, head=_head_of(case, 2, leaf_hash(part.receipt)))),
    "a head signed as a receipt": burst(lambda case, part: replace(part, head=_head_of(case, 5, OTHER, aad=AAD))),
    "a burst of one": burst(
        lambda case, part: encode(
            {
                "type": ReceiptInBurst.TYPE,
                "head": _head_of(case, 1, Tree([leaf_hash(part.receipt)]).root()),
                "path": [],
                "index": 0,
                "receipt": part.receipt,
            }
        )
    ),
    "a byte after a burst": burst(lambda case, part: part.encoded() + b"\x00"),
    "a receipt as a head": burst(lambda case, part: replace(part, head=part.head[:-64] + bytes(64))),
}
FILES: dict[str, Wrong] = {
    "nothing": whole(lambda data: b""),
    "another format": whole(lambda data: b"%PDF-1.7"),
    "a byte after the file": whole(lambda data: data + b"\x00"),
    "a file cut short": whole(lambda data: data[:-1]),
    "a file's keys in another order": whole(_reordered),
    "a file's key twice": whole(lambda data: b"\xae" + cbor2.dumps("query") + b"\xa0" + data[1:]),
    "a file of another type": whole(lambda data: data.replace(b"receipt-file/v1", b"receipt-file/v2")),
    "a file in a list": whole(lambda data: b"\x81" + data),
    "a file of indefinite length": whole(lambda data: b"\xbf" + data[1:] + b"\xff"),
    "a file over the limit": whole(lambda data: data + bytes(4 << 20)),
}
LEASES: dict[str, Wrong] = {
    "too few": leases("leases", lambda case: case.file.leases[:1]),
    "one custodian's twice": leases("leases", lambda case: case.file.leases[:1] * 2),
    "of a stranger": leases(
        "leases",
        lambda case: [replace(lease, custodian=MALLORY.public).signed_by(MALLORY) for lease in case.file.leases],
    ),
    "unsigned": leases("leases", lambda case: [replace(lease, signature=bytes(64)) for lease in case.file.leases]),
    "lengthened": leases("leases", lambda case: [replace(lease, not_after=1 << 40) for lease in case.file.leases]),
    "that disagree": leases(
        "leases",
        lambda case: case.leases([{"ledger": OTHER}, {"ledger": seeded("b")}, {"ledger": seeded("c")}]),
    ),
    "of another DAO": leases("leases", lambda case: case.leases([{"genesis": case.world.policy.cid()}] * 3)),
    "of keys alone": part("leases", terms={"window": None}),
    "of too small a window": part("price", terms={"window": Window(entries=10, passages=10, spend=99)}),
    "on another ledger": part("ledger", terms={"ledger": OTHER}),
    "of another instance": part("instance", terms={"instance": OTHER}),
    "of another epoch": part("head", terms={"epoch": 7}),
    "for other evidence": part("evidence", terms={"evidence": OTHER}),
    "for a challenge nobody answered": part("binding", lease={"nonce": OTHER}),
    "without the dataset": part("manifests", terms={"manifests": ()}),
}
GOVERNANCE: dict[str, Wrong] = {
    "another charter": file("charter", charter=lambda case: replace(case.file.charter, name="Another")),
    "a charter of fewer signatures": file("charter", charter=lambda case: replace(case.file.charter, signatures=3)),
    "another head in the file": file("head", head=lambda case: replace(case.file.head, epoch=2)),
    "a head without the policy": part("policy", head={"policies": ()}),
    "a head that revokes the licensee": part(
        "license",
        head={"revocations": (Revocation(scope=Scope.LICENSEE, subject=wallet("licensee").address, epoch=9),)},
    ),
    "a head that revokes everything": part(
        "license", head={"revocations": (Revocation(scope=Scope.DAO, subject=b"", epoch=9),)}
    ),
    "another policy in the file": file("policy", policy=lambda case: replace(case.file.policy, title="Another")),
    "a policy of another price": part("price", policy={"price_per_query": 99}),
    "a policy with a price for each passage": part("price", policy={"price_per_passage": 1}),
    "a policy in another currency": part("currency", policy={"currency": "SHELLS"}),
    "a policy of a smaller budget": part("budget_left", policy={"passages_max": 2}),
    "a policy of fewer passages": part("passages", policy={"k_max": 1}),
    "a policy that ended": part("license", policy={"expires_at": NOW}),
    "a policy for others": part("license", policy={"licensees": Licensees.listed([wallet("another").address])}),
    "a policy of another issuer": part(
        "license", policy={"licensees": Licensees.credential(wallet("another").address)}
    ),
    "a policy of rounder scores": part("scores", policy={"output": replace(EVERYTHING, score_decimals=1)}),
    "a policy of other settings": part(
        "configuration", policy={"configurations": (Cid.of(DAG_CBOR, b"another setting"),)}
    ),
    "a policy of another program": part(
        "evidence", policy={"tees": (AcceptedTee.simulated(seeded("another", 48), SIMULATOR.public),)}
    ),
    "a policy of another simulator": part(
        "evidence", policy={"tees": (AcceptedTee.simulated(seeded("measurement", 48), OTHER),)}
    ),
    "another license in the file": file(
        "license", license=lambda case: license_of(case.world, expires_at=case.file.license.expires_at + 1)
    ),
    "a license that ended": part("license", license={"expires_at": NOW}),
    "a license not issued yet": part("license", license={"issued_at": NOW + 60}),
    "a license of another DAO": part("license", license={"genesis": lambda case: case.world.policy.cid()}),
    "a license of an epoch to come": part("license", license={"epoch": 5}),
    "a license of another policy": part("license", license={"policy": lambda case: case.world.genesis}),
    "a license signed by nobody": (
        "license",
        lambda case: _with_license(case, replace(case.file.license, signature=bytes(65))),
    ),
    "a license of its own making": (
        "license",
        lambda case: _with_license(
            case,
            resigned(
                case.world.history, wallet("licensee"), replace(case.file.license, issuer=wallet("licensee").address)
            ),
        ),
    ),
}
QUESTIONS: dict[str, Wrong] = {
    "another text asked": file("text", query=lambda case: replace(case.file.query, text="another question")),
    "another salt": file("text", query=lambda case: replace(case.file.query, salt=OTHER)),
    "another request id": file("request", query=lambda case: replace(case.file.query, request=OTHER)),
    "another number asked": part("k", query={"k": 5}),
    "a question under another policy": part("policy", query={"policy": lambda case: case.world.genesis}),
    "a question that allows less": part("price", query={"price_max": 99}),
    "a question for other datasets": part("passages", query={"datasets": lambda case: (case.world.genesis,)}),
    "a question by words alone": part("vector", query={"options": replace(PLAIN, mode=Mode.KEYWORD)}),
    "a question by another vector": part("vector", query={"text": "", "vector": bytes(256)}),
    "another vector in the file": file("vector", query_vector=lambda case: bytes(len(case.file.query_vector))),
    "no vector in the file": file("vector", query_vector=lambda case: b""),
    "a negated vector": file(
        "vector", query_vector=lambda case: bytes([case.file.query_vector[0] ^ 1]) + case.file.query_vector[1:]
    ),
}
PASSAGES: dict[str, Wrong] = {
    "a passage missing": file("passages", passages=lambda case: case.file.passages[:1]),
    "a passage added": file("passages", passages=lambda case: (*case.file.passages, case.file.passages[0])),
    "passages swapped": file("passages", passages=lambda case: case.file.passages[::-1]),
    "another salt": file("passages", passages=lambda case: _first_passage(case, salt=OTHER)),
    "another body": file("passages", passages=lambda case: _first_passage(case, body=case.file.passages[1].body)),
    "one letter": file(
        "passages",
        passages=lambda case: _first_passage(case, body=case.file.passages[0].body.replace(b"The", b"Tho")),
    ),
    "no passage at all": file("passages", passages=lambda case: _first_passage(case, body=b"garbage")),
}
OWNERS: dict[str, Wrong] = {
    "changed": (
        "manifests",
        lambda case: replace(case.file, manifests=(replace(case.file.manifests[0], title="Changed"),)),
    ),
    "signed by nobody": (
        "manifests",
        lambda case: replace(
            case.file, manifests=(*case.file.manifests, replace(case.file.manifests[0], signature=bytes(65)))
        ),
    ),
    "of another DAO": part("manifests", manifest={"genesis": lambda case: case.world.policy.cid()}),
    "of another corpus": part("passages", manifest={"corpus_root": OTHER}),
    "that allows no simulated TEE": part("manifests", manifest={"allow_simulated": False}),
}
MACHINES: dict[str, Wrong] = {
    "another TLS key": file("evidence", binding=lambda case: replace(case.file.binding, tls_key=OTHER)),
    "other session keys": file(
        "evidence", binding=lambda case: replace(case.file.binding, hpke=case.file.binding.hpke[:1])
    ),
    "another receipt key": file("signature", binding=lambda case: replace(case.file.binding, receipt_key=OTHER)),
    "another configuration": part("configuration", binding={"configuration": lambda case: case.world.genesis}),
    "another DAO's binding": part("binding", binding={"genesis": lambda case: case.world.policy.cid()}),
    "another purpose": part("binding", binding={"purpose": SERVE}),
    "another custodian's challenge": part(
        "binding", binding={"nonces": lambda case: (replace(case.file.binding.nonces[0], nonce=OTHER),)}
    ),
    "a GPU nobody saw": part("evidence", binding={"gpu_evidence": OTHER}),
    "another machine's evidence": file("evidence", evidence=lambda case: attester().evidence(bytes(64))),
    "evidence changed in its signature": (
        "evidence",
        lambda case: case.forged(
            evidence=lambda report: _broken(attester().evidence(report)),
        ),
    ),
    "evidence of another kind": (
        "evidence",
        lambda case: case.forged(evidence=lambda report: replace(attester().evidence(report), kind="tdx")),
    ),
    "evidence by another simulator": (
        "evidence",
        lambda case: case.forged(evidence=lambda report: attester(key=MALLORY).evidence(report)),
    ),
    "evidence of another program": (
        "evidence",
        lambda case: case.forged(evidence=lambda report: attester(measurement=seeded("x", 48)).evidence(report)),
    ),
    "evidence for other keys": (
        "evidence",
        lambda case: case.forged(evidence=lambda report: attester().evidence(bytes(64))),
    ),
}


def _with_license(case: Case, license: Any) -> ReceiptFile:
    return replace(case.resigned(license=license.cid()), license=license)


def _first_passage(case: Case, **changed: Any) -> tuple[OpenedPassage, ...]:
    first, *rest = case.file.passages
    return (replace(first, **changed), *rest)


def _broken(evidence: Evidence) -> Evidence:
    return replace(evidence, document=evidence.document[:-1] + bytes([evidence.document[-1] ^ 1]))


GROUPS = {
    "receipt": RECEIPT,
    "header": HEADERS,
    "message": MESSAGES,
    "payload": PAYLOADS,
    "burst": BURSTS,
    "file": FILES,
    "leases": LEASES,
    "governance": GOVERNANCE,
    "question": QUESTIONS,
    "passages": PASSAGES,
    "manifests": OWNERS,
    "machine": MACHINES,
}
WRONG = {f"{group}: {name}": wrong for group, cases in GROUPS.items() for name, wrong in cases.items()}


def test_what_they_are_made_from_holds_and_so_does_what_is_made_with_nothing_changed(case: Case) -> None:
    assert case.verify(case.file) == case.verify(case.forged()) == case.verify(case.forged(binding={}))
    again = case.with_message(cose(case.key, case.receipt.encoded()))
    assert again.message == case.file.message or len(case.verify(again)) == len(case.verify(case.file))
    assert len(case.verify(case.with_message(_in_burst(case)))) == 9


def _in_burst(case: Case) -> bytes:
    return signed_receipts([case.receipt.encoded(), *(seeded(f"receipt {n}", 64) for n in range(4))], case.key)[0]


@pytest.mark.parametrize("name", WRONG)
def test_one_wrong_fact_is_enough_and_is_named(case: Case, name: str) -> None:
    fact, make = WRONG[name]
    said = refusal(case, make(case))
    assert said.split(":")[0] == fact, said


def refusal(case: Case, made: Made) -> str:
    """Return what is said against a file, as `coffer receipt verify` reads it."""
    data = made if isinstance(made, bytes) else made.encoded()
    try:
        file = ReceiptReader().read(data)
    except MalformedObject as error:
        return f"file: {error}"
    with pytest.raises(InvalidReceipt) as refused:
        case.verify(file)
    return str(refused.value)


def test_there_are_more_than_a_hundred_and_no_two_are_the_same(case: Case) -> None:
    made = [make(case) for _, make in WRONG.values()]
    assert len({one if isinstance(one, bytes) else one.encoded() for one in made} - {case.file.encoded()}) > 200


@pytest.mark.parametrize("appraiser", [APPRAISER, EvidenceAppraiser(production=True)])
def test_a_simulated_machine_is_refused_unless_expected_and_always_in_production(
    case: Case, appraiser: EvidenceAppraiser
) -> None:
    with pytest.raises(InvalidReceipt, match=r"^(tee|evidence): .*(SIMULATED|production)"):
        case.verify(case.file, allow_simulated=False, appraiser=appraiser)


def test_of_files_read_together_each_is_judged_by_itself(case: Case) -> None:
    """What a valid file had verified for it does not carry a wrong one along."""
    reader, check = ReceiptReader(), ReceiptCheck(case.world.genesis, APPRAISER, allow_simulated=True)
    for name, (fact, make) in WRONG.items():
        assert len(list(check.links(reader.read(case.file.encoded())))) == 9
        made = make(case)
        try:
            file = reader.read(made if isinstance(made, bytes) else made.encoded())
        except MalformedObject:
            assert fact == "file", name
            continue
        with pytest.raises(InvalidReceipt, match=f"^{fact}: "):
            list(check.links(file))


def test_a_day_later_it_still_holds_since_time_is_the_receipts_own(case: Case) -> None:
    case.world.clock.advance(DAY_S)
    assert len(case.verify(case.file)) == 9
