"""One custodian, and an enclave's request for a share that every test starts from and breaks one fact of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from enclave.keys import InstanceKeys
from tests.enclaves import Custodians, World, attester, opening
from vault.custody import Custody, Released
from vault.evidence import RELEASE, Binding, Evidence, Nonce
from vault.lease import EMPTY_ANCHOR, Anchor


class Asking:
    """An enclave in front of one custodian."""

    def __init__(self, world: World, custodians: Custodians, *, index: int = 0, attester: Any = None) -> None:
        self.world = world
        self.custody: Custody = custodians.all[index]
        self.keys = InstanceKeys.fresh()
        self._opening = opening(world, [], keys=self.keys)
        self._attester = attester or _ATTESTER

    def binding(self, **fields: Any) -> Binding:
        """Return a binding over a fresh challenge of this custodian; `fields` replace its fields."""
        return replace(self._opening.binding(RELEASE, [self.challenge()]), **fields)

    def challenge(self) -> Nonce:
        return Nonce(challenger=self.custody.public.key, nonce=self.custody.challenge(self.keys.instance))

    def evidence(self, binding: Binding) -> Evidence:
        evidence: Evidence = self._attester.evidence(binding.report_data())
        return evidence

    def release(
        self,
        binding: Binding | None = None,
        evidence: Evidence | None = None,
        *,
        anchor: Anchor = EMPTY_ANCHOR,
        wants_shares: bool = True,
    ) -> Released:
        binding = binding or self.binding()
        return self.custody.release(
            binding, evidence or self.evidence(binding), anchor, wants_shares=wants_shares, known_head=None
        )


_ATTESTER = attester()
