"""Receipts that say one thing wrong, each form of theirs being right."""

from __future__ import annotations

from dataclasses import replace

import cbor2

from storage.cid import DAG_CBOR, Cid
from tests.enclaves import SIMULATOR, attester, license_of
from tests.people import NOW, resigned, seeded, wallet
from tests.vault.wrong_making import (
    MALLORY,
    OTHER,
    Wrong,
    broken,
    file,
    first_passage,
    leases,
    part,
    reordered,
    whole,
    with_license,
)
from vault.action import Scope
from vault.charter import Window
from vault.evidence import SERVE
from vault.head import Revocation
from vault.licensees import Licensees
from vault.output_rules import EVERYTHING
from vault.policy import AcceptedTee
from vault.question import PLAIN, Mode

FILES: dict[str, Wrong] = {
    "nothing": whole(lambda data: b""),
    "another format": whole(lambda data: b"%PDF-1.7"),
    "a byte after the file": whole(lambda data: data + b"\x00"),
    "a file cut short": whole(lambda data: data[:-1]),
    "a file's keys in another order": whole(reordered),
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
        lambda case: with_license(case, replace(case.file.license, signature=bytes(65))),
    ),
    "a license of its own making": (
        "license",
        lambda case: with_license(
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
    "another salt": file("passages", passages=lambda case: first_passage(case, salt=OTHER)),
    "another body": file("passages", passages=lambda case: first_passage(case, body=case.file.passages[1].body)),
    "one letter": file(
        "passages",
        passages=lambda case: first_passage(case, body=case.file.passages[0].body.replace(b"The", b"Tho")),
    ),
    "no passage at all": file("passages", passages=lambda case: first_passage(case, body=b"garbage")),
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
            evidence=lambda report: broken(attester().evidence(report)),
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
