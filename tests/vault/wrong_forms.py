"""Receipts whose bytes are wrong in one thing: the message, its headers, the payload, a burst."""

from __future__ import annotations

from dataclasses import replace

import cbor2

from tests.vault.wrong_making import (
    MALLORY,
    OTHER,
    Wrong,
    burst,
    bytes_of,
    head_of,
    header,
    malleable,
    message,
    part,
    payload,
    proof,
    receipt,
    reordered,
    scores,
    value,
)
from vault.codec import encode
from vault.cose import CONTENT_TYPE, EDDSA, key_id
from vault.lease import Anchor
from vault.merkle import Tree, leaf_hash
from vault.receipt_message import AAD, BURST_AAD, ReceiptInBurst

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
    "scores of another number": receipt("scores", scores=scores(0.5)),
    "half a score": receipt("scores", scores=scores(0.5, 0.5)[:-4]),
    "a score that is no number": receipt("scores", scores=scores(float("nan"), 0.1)),
    "an endless score": receipt("scores", scores=scores(float("inf"), 0.1)),
    "scores not best first": receipt("scores", scores=scores(0.1, 0.5)),
    "a score too exact": receipt("scores", scores=scores(0.5, 0.12345678901)),
    "weights of another number": receipt("weights", weights=(840,)),
    "weights of another attribution": receipt("weights", weights=(1, 1)),
    "a first passage that counts nothing": receipt("weights", weights=(0, 420)),
    "a weight that its rank does not give": receipt("weights", weights=(840, 421)),
    "a score of minus zero": receipt("scores", scores=scores(0.5, -0.0)),
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
    "signature altered by the group's order": bytes_of(malleable),
    "a bit of the signature": bytes_of(lambda data: data[:-1] + bytes([data[-1] ^ 0x40])),
    "a bit of the receipt": bytes_of(lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:]),
    "another answer's message": ("text", lambda case: case.with_message(case.first.message)),
}
PAYLOADS: dict[str, Wrong] = {
    "keys in another order": payload(reordered),
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
    "a head by another": burst(lambda case, part: replace(part, head=head_of(case, 2, OTHER, key=MALLORY))),
    "a head of another root": burst(lambda case, part: replace(part, head=head_of(case, 5, OTHER))),
    "a head of another size": burst(lambda case, part: replace(part, head=head_of(case, 2, leaf_hash(part.receipt)))),
    "a head signed as a receipt": burst(lambda case, part: replace(part, head=head_of(case, 5, OTHER, aad=AAD))),
    "a burst of one": burst(
        lambda case, part: encode(
            {
                "type": ReceiptInBurst.TYPE,
                "head": head_of(case, 1, Tree([leaf_hash(part.receipt)]).root()),
                "path": [],
                "index": 0,
                "receipt": part.receipt,
            }
        )
    ),
    "a byte after a burst": burst(lambda case, part: part.encoded() + b"\x00"),
    "a receipt as a head": burst(lambda case, part: replace(part, head=part.head[:-64] + bytes(64))),
}
