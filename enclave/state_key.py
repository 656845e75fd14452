"""Handing the state key's shares to the custodians, by the first enclave that ever opens a ledger (rule L1)."""

from __future__ import annotations

from collections.abc import Sequence

from enclave.gathering import CustodyService
from storage.cid import Cid
from vault.charter import Charter
from vault.errors import ServiceUnavailable
from vault.hpke import strongest
from vault.keys import SecretKey
from vault.machine import BLANK, MachineKey
from vault.release import STATE_KEY_VERSION, StateDeposit
from vault.share import ShareId, dealt


def deposit_state_key(
    key: SecretKey,
    instance: MachineKey,
    charter: Charter,
    genesis: Cid,
    ledger: bytes,
    custodians: Sequence[CustodyService],
) -> None:
    """Give every custodian of the charter its share, or raise: with fewer, the ledger could be lost with a machine."""
    by_key = {custodian.custodian.key: custodian for custodian in custodians}
    for custodian in charter.custodians:  # all of them answer before any is given something it keeps for good
        if custodian.key not in by_key:
            raise ServiceUnavailable(f"custodian {custodian.key.hex()} is needed for the first opening of a ledger")
        by_key[custodian.key].challenge(instance.public, bytes(32))
    shared = dealt(key, charter, genesis=genesis, subject=ledger, version=STATE_KEY_VERSION)
    for index, (custodian, value) in enumerate(zip(charter.custodians, shared.shares, strict=True)):
        recipient = strongest(custodian.hpke, floor=charter.suite_floor)
        id = ShareId(
            genesis=genesis, subject=ledger, key_version=STATE_KEY_VERSION, custodian=custodian.key, index=index
        )
        deposit = StateDeposit(
            genesis=genesis,
            ledger=ledger,
            instance=instance.public,
            custodian=custodian.key,
            index=index,
            suite=recipient.suite,
            sealed=id.sealed_for_deposit(recipient, value),
            commitments=shared.commitments,
            key_commitment=shared.key_commitment,
            signature=BLANK,
        )
        by_key[custodian.key].deposit_state(deposit.signed_by(instance))
