"""Attacks with SEV-SNP evidence: forged roots, borrowed certificates, spliced reports, older firmware."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from enclave.attestation.errors import BindingMismatch, ChainInvalid, EvidenceRefused, SignatureInvalid
from enclave.attestation.roots import AMD_MILAN, AWS_NITRO, NVIDIA_DEVICE
from enclave.attestation.snp import verified_snp
from tests.enclave.attestation.amd import (
    PRODUCTS,
    TURIN_GUEST,
    VCEK_GUEST,
    VLEK_GUEST,
    Guest,
    intermediate,
    issuers,
    pinned,
    root,
)
from tests.enclave.attestation.captured import Case, case
from tests.enclave.attestation.pki import Subject, p384, pin, rsa_key
from tests.people import NOW, seeded

ACCEPTED = (
    "snp-milan-v3-vcek",
    "snp-turin-v5-vcek",
    "snp-milan-v2-debug-policy",
    "snp-milan-v3-vlek",
    "snp-milan-v2-vcek",
    "snp-milan-v3-dstack",
)


def chain_of(found: Case) -> dict[str, bytes]:
    files = found.files
    return {
        "signer": files.get("vcek") or files["vlek"],
        "intermediate": files.get("ask") or files["asvk"],
        "root": files["trust_anchor"],
    }


class TestForgedVendors:
    @pytest.mark.parametrize("guest", [VCEK_GUEST, VLEK_GUEST, TURIN_GUEST], ids=["VCEK", "VLEK", "Turin"])
    def test_a_chain_that_only_looks_like_amds(self, guest: Guest) -> None:
        ask, ark = issuers(guest.product, guest.kind)
        with pytest.raises(ChainInvalid, match="root"):
            verified_snp(guest.report(), signer=guest.signer(), intermediate=ask, root=ark, at=NOW)

    def test_amds_own_root_over_certificates_it_never_issued(self) -> None:
        found = case("snp-milan-v3-vcek")
        guest = Guest(product="Milan", product_name="Milan-B0", cpuid=bytes((0x19, 1, 1)))
        for forged in (issuers("Milan", "VCEK")[0], chain_of(found)["intermediate"]):
            with pytest.raises((ChainInvalid, SignatureInvalid)):
                verified_snp(
                    guest.report(),
                    signer=guest.signer(),
                    intermediate=forged,
                    root=found.files["trust_anchor"],
                    at=found.at,
                )

    def test_another_vendors_pinned_root_certifies_no_chip(self) -> None:
        roots = pinned() | {AMD_MILAN: bytes(32), AWS_NITRO: pin(root("Milan")), NVIDIA_DEVICE: pin(root("Milan"))}
        guest = Guest(product="Milan", product_name="Milan-B0", cpuid=bytes((0x19, 1, 1)))
        guest.verified()
        with pytest.raises(ChainInvalid, match="root"):
            guest.verified(pinned=roots)


class TestBorrowedCertificates:
    @pytest.mark.parametrize(("mine", "theirs"), [pair for pair in product(ACCEPTED, ACCEPTED) if pair[0] != pair[1]])
    def test_one_captured_report_under_the_chain_of_another(self, mine: str, theirs: str) -> None:
        report, other = case(mine), case(theirs)
        with pytest.raises(EvidenceRefused):
            verified_snp(report.files["snp_report"], **chain_of(other), at=other.at)

    @pytest.mark.parametrize("order", [order for order in permutations(range(3)) if order != (0, 1, 2)])
    def test_certificates_in_another_order(self, order: tuple[int, ...]) -> None:
        names = ("signer", "intermediate", "root")
        certificates = (VCEK_GUEST.signer(), *issuers("Genoa", "VCEK"))
        with pytest.raises(ChainInvalid):
            VCEK_GUEST.verified(**{name: certificates[place] for name, place in zip(names, order, strict=True)})

    def test_a_leaked_vcek_issues_no_other(self) -> None:
        leaked = Subject(name="SEV-VCEK", key=VCEK_GUEST.key, issuer=intermediate("Genoa", "VCEK"))
        mine = VCEK_GUEST.with_(key=p384("attacker"), leaf={"issuer": leaked})
        _, ark = issuers("Genoa", "VCEK")
        for issuer, top in ((VCEK_GUEST.signer(), issuers("Genoa", "VCEK")[0]), (VCEK_GUEST.signer(), ark)):
            with pytest.raises((ChainInvalid, SignatureInvalid)):
                mine.verified(intermediate=issuer, root=top)

    def test_an_issuer_signs_no_report(self) -> None:
        ask, ark = issuers("Genoa", "VCEK")
        for chain in ({"signer": ask, "intermediate": ark}, {"signer": ark, "intermediate": ark}):
            with pytest.raises(ChainInvalid):
                VCEK_GUEST.verified(**chain)

    @pytest.mark.parametrize(
        "key", [ec.derive_private_key(7, ec.SECP256R1()), rsa_key("SEV-Genoa")], ids=["P-256", "RSA"]
    )
    def test_a_certified_key_of_another_kind(self, key: Any) -> None:
        with pytest.raises(ChainInvalid, match="P-384"):
            VCEK_GUEST.verified(signer=VCEK_GUEST.with_(leaf={"key": key}).signer())


class TestMisattributedReports:
    def test_a_fleets_key_does_not_pass_for_a_chips(self) -> None:
        with pytest.raises(BindingMismatch, match="signing key 0"):
            VLEK_GUEST.with_(flags=0, chip_id=seeded("victim", 64)).verified()

    def test_a_key_of_older_firmware_cannot_claim_newer(self) -> None:
        newer = bytes((9, 0, 0, 0, 0, 0, 30, 230))
        with pytest.raises(BindingMismatch, match="reported TCB"):
            VCEK_GUEST.with_(reported_tcb=newer).verified()

    @pytest.mark.parametrize("other", [name for name in PRODUCTS if name != "Genoa"])
    def test_an_older_products_key_cannot_claim_a_newer_cpu(self, other: str) -> None:
        cpus = {"Milan": bytes((0x19, 1, 1)), "Turin": bytes((0x1A, 2, 1))}
        with pytest.raises(BindingMismatch, match="of CPU"):
            VCEK_GUEST.with_(cpuid=cpus[other]).verified()

    def test_an_older_version_of_report_cannot_hide_the_cpu(self) -> None:
        claims = VCEK_GUEST.with_(version=2, cpuid=bytes(3)).verified()
        assert claims.facts()["product"] == "Genoa"  # by the root, whatever the report leaves out

    def test_a_signature_is_good_for_its_own_report(self) -> None:
        signature = VCEK_GUEST.with_(vmpl=3).report()[0x2A0:0x330]
        with pytest.raises(SignatureInvalid):
            VCEK_GUEST.with_(forgeries={0x2A0: signature}).verified()

    @pytest.mark.parametrize("scalar", [0, 1, (1 << 384) - 1, (1 << 576) - 1])
    def test_degenerate_signatures(self, scalar: int) -> None:
        forged = scalar.to_bytes(72, "little") * 2
        with pytest.raises(SignatureInvalid):
            VCEK_GUEST.with_(forgeries={0x2A0: forged}).verified()


class TestNothingIsHidden:
    """What weakens a guest is not for verifying to refuse, but it must reach whoever judges."""

    @pytest.mark.parametrize(("fact", "bit"), [("debug", 19), ("migrate", 18), ("cxl_allowed", 21)])
    def test_a_weakening_policy_is_a_fact(self, fact: str, bit: int) -> None:
        assert VCEK_GUEST.verified().facts()[fact] is False
        assert VCEK_GUEST.with_(policy=VCEK_GUEST.policy | 1 << bit).verified().facts()[fact] is True

    def test_an_uncommitted_update_is_a_fact(self) -> None:
        facts = VCEK_GUEST.with_(patches={0x1E0: bytes((7, 0, 0, 0, 0, 0, 25, 219))}).verified().facts()
        assert (facts["reported_snp"], facts["committed_snp"]) == (24, 25)

    def test_a_privilege_level_no_hardware_has_is_a_fact(self) -> None:
        assert VCEK_GUEST.with_(vmpl=(1 << 32) - 1).verified().facts()["vmpl"] == (1 << 32) - 1
