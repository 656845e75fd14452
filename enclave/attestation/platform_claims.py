"""The claims that SGX and TDX share: how the platform stands with Intel, and how claims are shown."""

from __future__ import annotations

from collections.abc import Mapping

from enclave.attestation.claims import Fact, Shown
from enclave.attestation.intel import Platform


def platform_facts(platform: Platform) -> dict[str, Fact]:
    """Return what a policy may judge of the platform; advisories are joined with commas, in alphabetical order."""
    return {
        "fmspc": platform.fmspc,
        "pck_ca": platform.pck_ca,
        "tcb_status": platform.tcb_status,
        "advisory_ids": ",".join(platform.advisory_ids),
        "tcb_evaluation_data_number": platform.tcb_evaluation_data_number,
        "tcb_date": platform.tcb_date,
    }


def platform_shown(
    facts: Mapping[str, Fact], platform: Platform, *, quote_version: int, tee_type: int
) -> dict[str, Shown]:
    """Return facts as JSON, bytes in hex; FMSPC in capitals, as Intel writes it."""
    shown: dict[str, Shown] = {name: fact.hex() if isinstance(fact, bytes) else fact for name, fact in facts.items()}
    return {
        "quote_version": quote_version,
        "tee_type": f"{tee_type:#x}",
        **shown,
        "fmspc": platform.fmspc.hex().upper(),
        "advisory_ids": list(platform.advisory_ids),
    }
