"""Handing the state key's shares to the custodians, by the first enclave that ever opens a ledger (rule L1)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from enclave.opening import CustodyService
from storage.cid import Cid
from vault.charter import Charter
from vault.errors import ServiceUnavailable
from vault.hpke import seal, strongest
from vault.keys import SecretKey, key_commitment, share_commitment, split
from vault.machine import BLANK, MachineKey
from vault.release import STATE_KEY_VERSION, StateDeposit, deposit_context


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
    values = split(key, shares=charter.shares, of=len(charter.custodians), identifier=secrets.randbits(15))
    commitments = tuple(
        share_commitment(genesis, ledger, STATE_KEY_VERSION, index, value) for index, value in enumerate(values)
    )
    for index, (custodian, value) in enumerate(zip(charter.custodians, values, strict=True)):
        recipient = strongest(custodian.hpke, floor=charter.suite_floor)
        info = deposit_context(
            genesis=genesis,
            subject=ledger,
            key_version=STATE_KEY_VERSION,
            custodian=custodian.key,
            index=index,
            suite=recipient.suite,
        )
        deposit = StateDeposit(
            genesis=genesis,
            ledger=ledger,
            instance=instance.public,
            custodian=custodian.key,
            index=index,
            suite=recipient.suite,
            sealed=seal(recipient, value, info=info),
            commitments=commitments,
            key_commitment=key_commitment(genesis, ledger, STATE_KEY_VERSION, key.reveal()),
            signature=BLANK,
        )
        by_key[custodian.key].deposit_state(deposit.signed_by(instance))
