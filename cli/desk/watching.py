"""What goes on right now, from an enclave's metrics, this home's receipts and its open credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cli.desk.asking import LocalAsking
from cli.desk.party import PartyContext
from tui.desk.watching import AskedHere, BudgetFacts, Budgets, Counters
from tui.slow import EXPECTED
from vault.errors import ServiceUnavailable
from vault.plain_text import error_sentence

if TYPE_CHECKING:
    from enclave.client import EnclaveClient

ASKED_MAX: Final = 200


class LocalWatching:
    """Watches for one home."""

    def __init__(self, party: PartyContext, asking: LocalAsking) -> None:
        self._party = party
        self._asking = asking

    def metrics_address(self) -> str:
        """Return where the enclave's metrics are read; empty where nobody said."""
        return self._party.settings.metrics

    def counters(self) -> Counters:
        """Read the enclave's metrics; they are its operator's word, not evidence."""
        from cli.scraped import scraped

        address = self.metrics_address()
        if not address:
            raise ServiceUnavailable("no metrics are configured; set metrics to HOST:PORT in coffer.toml")
        return scraped(address)

    def asked(self) -> tuple[AskedHere, ...]:
        """Return the last questions of this home, the newest first; a receipt that cannot be read is left out."""
        found = []
        for name in self._asking.receipts()[:ASKED_MAX]:
            try:
                facts = self._asking.receipt(name)
            except EXPECTED:
                continue  # the receipts' own list says why
            found.append(
                AskedHere(
                    at=facts.at,
                    license=facts.license,
                    passages=facts.passages,
                    price=facts.price,
                    currency=facts.currency,
                    budget_left=facts.budget_left,
                )
            )
        return tuple(sorted(found, key=lambda one: -one.at))

    def budgets(self) -> Budgets:
        """Ask what each open credential has left."""
        parts: list[BudgetFacts] = []
        sealed, problems = [], []
        for credential in self._asking.credentials():
            if not credential.is_open:
                sealed.append(credential.name)
                continue
            try:
                with self._asking.session(credential.name) as client:
                    parts.extend(_parts(client, credential.name, self._asking.license(credential.name)))
            except EXPECTED as error:
                problems.append(f"{credential.name}: {error_sentence(error)}")
        return Budgets(parts=tuple(parts), sealed=tuple(sealed), problems=tuple(problems))


def _parts(client: EnclaveClient, name: str, license: str) -> list[BudgetFacts]:
    """Return what a license has left in all, then of each dataset."""
    titles = {dataset.manifest: dataset.title for dataset in client.describe().datasets}
    account = client.account()
    whole = BudgetFacts(
        license=license, credential=name, what="", seen=account.passages_seen, passages_max=account.passages_max
    )
    return [
        whole,
        *(
            BudgetFacts(
                license=license,
                credential=name,
                what=titles.get(part.manifest) or str(part.manifest),
                seen=part.seen,
                passages_max=part.passages_max,
            )
            for part in account.parts
            if part.manifest is not None
        ),
    ]
