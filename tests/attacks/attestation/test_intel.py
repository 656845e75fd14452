"""Attacks with Intel's evidence: forged platforms, borrowed keys, edited or stale collateral, rewritten logs."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave.attestation.dstack import verified_dstack
from enclave.attestation.errors import (
    BindingMismatch,
    CertificateRevoked,
    ChainInvalid,
    CollateralExpired,
    CollateralInvalid,
    DebugEnabled,
    EventLogMismatch,
    EvidenceMalformed,
    EvidenceRefused,
    SignatureInvalid,
)
from enclave.attestation.tdx import TdxClaims, verified_tdx
from tests.enclave.attestation.captured import case
from tests.enclave.attestation.intel import PCK, PCK_CA, PINNED, ROOT, TCB_SIGNER, TD, moment
from tests.enclave.attestation.intel_pki import Revocations, Subject, p256, pem, raw_signature
from tests.people import DAY_S, NOW, seeded

MALLORY = "mallory"
BETWEEN = Subject(name="Intel SGX Platforms CA", issuer=ROOT, ca=True)


def verified(quote: bytes, collateral: bytes) -> TdxClaims:
    return verified_tdx(quote, collateral, at=NOW, pinned=PINNED)


def with_tcb_info(text: str, signer: Subject, *chain: Subject) -> bytes:
    return TD.collateral(
        tcb_info=text,
        tcb_info_signature=raw_signature(signer.key, text.encode()).hex(),
        tcb_info_issuer_chain=pem(*chain),
    )


class TestForgedPlatforms:
    def test_a_whole_platform_of_ones_own_ends_at_the_pinned_root(self) -> None:
        assert TD.verified_td()
        with pytest.raises(ChainInvalid, match="root"):
            verified_tdx(TD.quote(), TD.collateral(), at=NOW)

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_a_certificate_of_ones_own_key_under_a_genuine_name_does_not_do(self, place: int) -> None:
        chain = [PCK, PCK_CA, ROOT]
        chain[place] = chain[place].with_(key_label=MALLORY, signer_label=MALLORY)
        with pytest.raises(ChainInvalid):
            TD.with_(pck_chain=chain).verified_td()

    def test_an_attestation_key_of_ones_own_is_not_vouched_for(self) -> None:
        """The host signs a body of its choice with its own key, and puts that key into a genuine quote."""
        quote, signed = TD.quote(), bytearray(TD.signed())
        signed[48 + 136 : 48 + 184] = seeded("mallory's measurement", 48)
        key = p256(MALLORY)
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
        end = len(signed) + 4
        forged = bytes(signed) + quote[end - 4 : end] + raw_signature(key, bytes(signed)) + point + quote[end + 128 :]
        with pytest.raises(BindingMismatch):
            verified(forged, TD.collateral())

    def test_each_signature_is_checked_here_and_not_only_by_the_library(self) -> None:
        quote = bytearray(TD.quote())
        end = len(TD.signed()) + 4
        for place, signer in ((end, "attestation key"), (end + 128 + 6 + 384, "PCK certificate's key")):
            changed = bytearray(quote)
            changed[place] ^= 1
            with pytest.raises(SignatureInvalid, match=f"not signed by the {signer}"):
                verified(bytes(changed), TD.collateral())

    def test_a_debug_td_cannot_hide_it(self) -> None:
        debug = TD.with_(body={"td_attributes": (1 << 28 | 1).to_bytes(8, "little")})
        with pytest.raises(DebugEnabled):
            debug.verified_td()
        hidden = bytearray(debug.quote())
        hidden[48 + 120] = 0
        with pytest.raises(SignatureInvalid):
            verified(bytes(hidden), TD.collateral())

    def test_a_message_behind_the_quote_is_refused(self) -> None:
        with pytest.raises(EvidenceMalformed):
            verified(TD.quote() + b"a second quote", TD.collateral())


class TestBorrowedKeys:
    def test_a_platforms_key_does_not_speak_for_intel(self) -> None:
        """A PCK certificate leads to the root as well; who breaks one platform must not grade all others."""
        text = TD.with_(status="UpToDate").described()[0]
        assert verified(TD.quote(), with_tcb_info(text, TCB_SIGNER, TCB_SIGNER, ROOT))
        for chain in ((PCK, PCK_CA, ROOT), (PCK, ROOT)):
            with pytest.raises(ChainInvalid):
                verified(TD.quote(), with_tcb_info(text, PCK, *chain))

    def test_a_certificate_authoritys_key_does_not_sign_documents(self) -> None:
        with pytest.raises(ChainInvalid):
            verified(TD.quote(), with_tcb_info(TD.described()[0], PCK_CA, PCK_CA, ROOT))

    @pytest.mark.parametrize(
        "chain",
        [
            (TCB_SIGNER.with_(name="Intel SGX Something Else"), ROOT),
            (TCB_SIGNER.with_(issuer=PCK_CA), PCK_CA, ROOT),
        ],
        ids=["another name", "another issuer"],
    )
    def test_only_the_key_named_for_it_signs_documents(self, chain: tuple[Subject, ...]) -> None:
        with pytest.raises(ChainInvalid, match="issuer chain"):
            TD.with_(signers=chain).verified_td()

    @pytest.mark.parametrize(
        "chain",
        [
            (PCK.with_(name="Intel SGX Something Else"), PCK_CA, ROOT),
            (PCK.with_(issuer=ROOT), ROOT),
            (PCK, PCK_CA.with_(issuer=BETWEEN), BETWEEN, ROOT),
        ],
        ids=["another name", "no CA between", "two CAs between"],
    )
    def test_only_a_chain_of_intels_form_makes_a_platform(self, chain: tuple[Subject, ...]) -> None:
        with pytest.raises(ChainInvalid, match="PCK certificates"):
            TD.with_(pck_chain=chain).verified_td()

    def test_intels_signing_key_is_no_platform(self) -> None:
        with pytest.raises(ChainInvalid):
            TD.with_(pck_chain=(TCB_SIGNER, PCK_CA, ROOT)).verified_td()
        with pytest.raises(ChainInvalid):
            TD.with_(pck_chain=(TCB_SIGNER, ROOT)).verified_td()

    def test_collateral_does_not_replace_the_quotes_certificates(self) -> None:
        """Some tools carry the PCK chain in collateral too, and the library would prefer it."""
        genuine = pem(PCK, PCK_CA, ROOT)
        assert verified(TD.quote(), TD.collateral(pck_certificate_chain="nothing")) == TD.verified_td()
        forged = TD.with_(pck_pem=pem(PCK.with_(signer_label=MALLORY), PCK_CA, ROOT).encode())
        with pytest.raises(ChainInvalid):
            verified(forged.quote(), TD.collateral(pck_certificate_chain=genuine))


class TestCollateral:
    def test_a_grade_changed_by_the_host_is_not_intels(self) -> None:
        outdated = TD.with_(status="OutOfDate")
        assert outdated.verified_td().platform.tcb_status == "OutOfDate"
        collateral: dict[str, Any] = json.loads(outdated.collateral())
        collateral["tcb_info"] = collateral["tcb_info"].replace("OutOfDate", "UpToDate")
        with pytest.raises(CollateralInvalid, match="TCB info"):
            verified(outdated.quote(), json.dumps(collateral).encode())

    @pytest.mark.parametrize("name", ["tcb_info", "qe_identity"])
    def test_two_documents_under_one_name_are_refused(self, name: str) -> None:
        collateral = TD.collateral().decode()
        document = json.dumps(json.loads(collateral)[name])
        with pytest.raises(EvidenceMalformed):
            verified(TD.quote(), (collateral[:-1] + f', "{name}": {document}}}').encode())

    def test_an_old_list_does_not_hide_a_revocation(self) -> None:
        revoked = TD.pck_crl.with_(revoked=[PCK.serial])
        with pytest.raises(CertificateRevoked):
            TD.with_(pck_crl=revoked).verified_td()
        with pytest.raises(CollateralExpired):
            TD.with_(pck_crl=TD.pck_crl.with_(begins=NOW - 40 * DAY_S, ends=NOW - 10 * DAY_S)).verified_td()

    @pytest.mark.parametrize(
        "crl",
        [
            Revocations(issuer=PCK_CA, signer_label=MALLORY),
            Revocations(issuer=PCK_CA.with_(name="Intel SGX PCK Processor CA", key_label=PCK_CA.name)),
            Revocations(issuer=ROOT),
        ],
        ids=["own key", "another name", "the root's"],
    )
    def test_a_list_counts_only_from_whoever_issued_the_certificate(self, crl: Revocations) -> None:
        with pytest.raises(CollateralInvalid, match="PCK CRL"):
            TD.with_(pck_crl=crl).verified_td()

    def test_old_collateral_is_refused_however_good_it_was(self) -> None:
        old = {"issueDate": moment(NOW - 60 * DAY_S), "nextUpdate": moment(NOW - 30 * DAY_S)}
        with pytest.raises(CollateralExpired):
            TD.with_(tcb_info=old, qe_identity=old).verified_td()

    @pytest.mark.parametrize("other", ["sgx-v3-icx-swhardening", "tdx-v5-td15-uptodate", "tdx-v4-debug-td"])
    def test_other_captured_collateral_never_verifies(self, other: str) -> None:
        found, stranger = case("tdx-v4-b0c06f-uptodate"), case(other)
        for at in (found.at, stranger.at):
            with pytest.raises(EvidenceRefused):
                verified_tdx(found.files["quote"], stranger.files["dcap_collateral_v3"], at=at)

    @pytest.mark.parametrize("name", sorted(json.loads(TD.collateral())))
    def test_captured_parts_do_not_mix(self, name: str) -> None:
        """Each part of another platform's genuine collateral, in force at the same time, in place of the right one."""
        found, stranger = case("tdx-v4-b0c06f-uptodate"), case("sgx-v3-config-and-swhardening")
        parts, others = (json.loads(which.files["dcap_collateral_v3"]) for which in (found, stranger))
        mixed = json.dumps({**parts, name: others[name]}).encode()
        if parts[name] == others[name] or name == "pck_crl_issuer_chain":
            genuine = verified_tdx(found.files["quote"], found.files["dcap_collateral_v3"], at=found.at)
            assert verified_tdx(found.files["quote"], mixed, at=found.at) == genuine
        else:
            with pytest.raises(CollateralInvalid):
                verified_tdx(found.files["quote"], mixed, at=found.at)


class TestEventLogs:
    def test_a_log_that_agrees_with_itself_only_is_refused(self) -> None:
        """The host rewrites the application and recomputes every digest; the quoted register still says otherwise."""
        found = case("dstack-quote-report-eventlog")
        log: list[dict[str, Any]] = json.loads(found.files["dstack_event_log"])
        entry = next(entry for entry in log if entry["event"] == "compose-hash")
        entry["event_payload"] = sha256(b"mallory's application").hexdigest()
        for digest in ("", entry["digest"]):
            entry["digest"] = digest
            with pytest.raises(EventLogMismatch):
                verified_dstack(
                    found.files["quote"],
                    found.files["dcap_collateral_v3"],
                    json.dumps(log).encode(),
                    at=found.at,
                )

    def test_the_application_cannot_rename_itself_after_boot(self) -> None:
        found = case("dstack-quote-report-eventlog")
        log: list[dict[str, Any]] = json.loads(found.files["dstack_event_log"])
        assert log[-1]["event"] == "LIUM_MINER_HOTKEY"  # the application's own
        log[-1] |= {"event": "compose-hash", "digest": ""}
        with pytest.raises(EventLogMismatch):
            verified_dstack(
                found.files["quote"], found.files["dcap_collateral_v3"], json.dumps(log).encode(), at=found.at
            )
