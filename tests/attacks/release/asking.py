"""One custodian, and an enclave's request for a share that every test starts from and breaks one fact of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from enclave.keys import InstanceKeys
from tests.builders import seeded
from tests.enclaves import Custodians, World, attester, opening
from vault.custody import Custody
from vault.evidence import RELEASE, Binding, Evidence, Nonce
from vault.lease import EMPTY_ANCHOR, Anchor, ledger_id
from vault.machine import BLANK
from vault.merkle import EMPTY_ROOT
from vault.release import HandBack, LeaseRequest, OfferedKeys
from vault.releasing import Released
from vault.window import WindowId


class Asking:
    """An enclave in front of one custodian."""

    def __init__(
        self,
        world: World,
        custodians: Custodians,
        *,
        index: int = 0,
        attester: Any = None,
        keys: InstanceKeys | None = None,
    ) -> None:
        self.world = world
        self.custody: Custody = custodians.all[index]
        self.keys = keys or InstanceKeys.fresh()
        self._opening = opening(world, [], keys=self.keys)
        self._attester = attester or _ATTESTER

    def binding(self, **fields: Any) -> Binding:
        """Return a binding over a fresh challenge of this custodian; `fields` replace its fields."""
        hpke = fields.get("hpke", self.keys.hpke.public)
        return replace(self._opening.binding(RELEASE, [self.challenge(hpke)]), **fields)

    def challenge(self, hpke: Any = None) -> Nonce:
        keys = OfferedKeys(hpke=hpke).digest() if hpke else self.keys_digest
        return Nonce(challenger=self.custody.public.key, nonce=self.custody.challenge(self.keys.instance, keys))

    @property
    def keys_digest(self) -> bytes:
        return OfferedKeys(hpke=self.keys.hpke.public).digest()

    def evidence(self, binding: Binding) -> Evidence:
        evidence: Evidence = self._attester.evidence(binding.report_data())
        return evidence

    def request(
        self,
        binding: Binding,
        *,
        anchor: Anchor = EMPTY_ANCHOR,
        wants_shares: bool = True,
        settled: Sequence[WindowId] = (),
        **fields: Any,
    ) -> LeaseRequest:
        """Return what the instance asks with that binding; `fields` replace its fields before it signs."""
        asked = LeaseRequest(
            instance=self.keys.instance,
            custodian=self.custody.public.key,
            report_data=binding.report_data(),
            anchor=anchor,
            log=None if wants_shares else log_root(anchor),
            wants_shares=wants_shares,
            settled=tuple(settled),
            signature=BLANK,
        )
        return replace(asked, **fields).signed_by(self.keys.receipt)

    def release(
        self,
        binding: Binding | None = None,
        evidence: Evidence | None = None,
        *,
        request: LeaseRequest | None = None,
        **asked: Any,
    ) -> Released:
        binding = binding or self.binding()
        request = request or self.request(binding, **asked)
        return self.custody.release(binding, evidence or self.evidence(binding), request, known_head=None)

    def renew(self, anchor: Anchor = EMPTY_ANCHOR, **asked: Any) -> Released:
        return self.release(anchor=anchor, wants_shares=False, **asked)

    def hand_back(self, anchor: Anchor | None, **fields: Any) -> None:
        """End the lease as an instance that stops does."""
        usual = {
            "genesis": self.world.genesis,
            "ledger": ledger_id(self.world.genesis),
            "instance": self.keys.instance,
            "anchor": anchor,
            "signature": BLANK,
        }
        self.custody.hand_back(HandBack(**(usual | fields)).signed_by(self.keys.receipt))


_ATTESTER = attester()


def log_root(anchor: Anchor) -> bytes:
    """Return some root of a log that has come as far as the anchor."""
    return seeded(f"log of {anchor.sequence}") if anchor.sequence else EMPTY_ROOT
