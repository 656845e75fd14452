"""What must be refused: each attempted for real, each with its own message, and nothing charged for any."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from cli.console import foreign
from cli.demo.narration import Narrator
from cli.stage import Stage
from enclave.found import Dataset
from enclave.opened import fetched_passages
from storage.directory import DirectoryBlobs
from storage.errors import BlockMismatch
from vault.action import Scope, revocation
from vault.ballot import Support
from vault.errors import AccessDenied, CreditExhausted, Revoked, VaultError
from vault.policy import Policy
from vault.publishing import copy_dataset


class NotRefused(VaultError):
    """Something that must be refused was not."""


class Refusals:
    """Counts refusals by name."""

    def __init__(self, stage: Stage, policy: Policy, narrator: Narrator) -> None:
        self.counts: dict[str, int] = {}
        self._stage = stage
        self._policy = policy
        self._narrator = narrator

    def no_license(self, question: str) -> None:
        """Ask with a license that the asker granted itself."""
        credential = self._stage.license("stranger", self._policy, issuer="stranger")
        self._expect("no_license", AccessDenied, lambda: self._stage.connect(credential).search(question, k=1))

    def no_credit(self, question: str) -> None:
        """Ask until the prepaid credit has run out: one query is paid for, the second is not."""
        credential = self._stage.license("spender", self._policy)
        self._stage.credit("spender", self._policy.price_per_query, self._policy.currency)
        with self._stage.connect(credential) as client:
            client.search(question, k=1)
            self._expect("credit_exhausted", CreditExhausted, lambda: client.search(question, k=1))

    def tampered_block(self, folder: Path) -> None:
        """Flip one byte of a stored block in a copy of the store, and open the dataset from there."""
        sealed = self._stage.sealed[0]
        blobs = DirectoryBlobs(folder)
        copy_dataset(sealed.manifest, self._stage.blobs(), blobs, progress=lambda _: None)
        flip_a_byte(folder)
        dataset = Dataset(manifest=sealed.manifest, key=sealed.key)
        self._expect("tampered_block", BlockMismatch, lambda: fetched_passages(blobs, dataset))

    def revoked_policy(self, question: str) -> None:
        """Have the DAO revoke the policy in the middle of a session."""
        credential = self._stage.license("late", self._policy)
        self._stage.credit("late", 10 * self._policy.price_per_query, self._policy.currency)
        with self._stage.connect(credential) as client:
            members = [name for name in self._stage.wallets if name.startswith("member-")]
            action = revocation(Scope.POLICY, self._policy.cid().binary)
            self._stage.decide(action, None, dict.fromkeys(members, Support.FOR))
            self._stage.await_state("stopped")
            self._expect("revoked_policy", Revoked, lambda: client.search(question, k=1))

    def _expect(self, name: str, refusal: type[Exception], attempt: Callable[[], object]) -> None:
        try:
            attempt()
        except refusal as error:
            self.counts[name] = self.counts.get(name, 0) + 1
            self._narrator.note(f"[yellow]refused[/] {name.replace('_', ' ')}: {foreign(str(error))}")
            return
        raise NotRefused(f"{name} was not refused")


def flip_a_byte(folder: Path) -> None:
    """Flip one bit in the largest block file of a directory store."""
    file = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    block = bytearray(file.read_bytes())
    block[secrets.randbelow(len(block))] ^= 1
    file.chmod(0o600)
    file.write_bytes(block)
