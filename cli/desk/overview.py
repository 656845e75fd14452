"""How everything stands, for the terminal's first screen."""

from __future__ import annotations

import threading
from typing import Final

from cli import dataset_copies, places, wiring
from cli.credentials import credential_paths
from cli.desk.asking import LocalAsking
from cli.desk.party import PartyContext
from cli.desk.wallets import LocalWallets
from enclave.inspection import Inspection, inspect
from tui.desk.overview import CustodianFacts, DaoFacts, Party, SealedFacts, Today
from vault.assembly import proposal_on, roll_of
from vault.board import Kind
from vault.copies.model import Copy, CopyState
from vault.copies.status import copies_of
from vault.errors import VaultError
from vault.following import followed
from vault.pulling import pull_proposals
from vault.records.copies import CopyRecords
from vault.records.model import DatasetRow
from vault.signing import address_from, address_text
from vault.standing import standing_of

EVIDENCE_AGE_S: Final = 30  # asked for anew then; sooner where the leases are short
HOUR_S: Final = 3600
HOURS: Final = 24


class LocalOverview:
    """How everything stands, from this home and the services it names."""

    def __init__(self, party: PartyContext, wallets: LocalWallets, asking: LocalAsking) -> None:
        self._party = party
        self._wallets = wallets
        self._asking = asking
        self._lock = threading.Lock()
        self._look: Inspection | None = None

    def party(self) -> Party:
        """Return what is configured here."""
        settings, place = self._party.settings, self._party.place
        return Party(
            home=f"~/{place.path.name}" if place.path.parent == place.path.home() else place.path.name,
            exists=place.config.exists(),
            enclave=settings.enclave,
            custodians=settings.custodians,
            storage=settings.storage,
            wallets=len(self._wallets.wallets()),
            credentials=len(credential_paths(place)),
        )

    def dao(self) -> DaoFacts | None:
        """Return the DAO of this home's board, or None where there is none yet."""
        if not self._party.has_dao():
            return None
        history = self._party.history()
        charter = history.charter
        is_open, unanswered = self._votes()
        return DaoFacts(
            name=charter.name,
            genesis=str(history.genesis),
            epoch=history.head.epoch,
            head=str(history.head.cid()),
            members=charter.members,
            guardians=tuple(address_text(guardian) for guardian in charter.guardians),
            custodians=len(charter.custodians),
            policies=tuple(policy.title for policy in history.policies.values()),
            open_proposals=is_open,
            unanswered=unanswered,
        )

    def _votes(self) -> tuple[int, int]:
        """Return how many proposals are open, and how many of them wait for a vote of this home's members."""
        board, history, at = self._party.board(), self._party.history(), wiring.clock()
        mine = {address_from(wallet.address) for wallet in self._wallets.wallets()}
        try:
            mine &= {address for address, _ in roll_of(board, history.charter).members}
        except VaultError:
            mine = set()
        is_open = unanswered = 0
        for cid, _ in board.list(Kind.PROPOSAL, history.genesis):
            try:
                proposal = proposal_on(board, history, cid)
                if not proposal.opens_at <= at < proposal.closes_at or proposal.epoch < history.charter_epoch:
                    continue
                standing = standing_of(board, history, cid, at=at)
            except VaultError:
                continue  # what does not count waits for nobody; the governance screen says why
            if standing.words(at) != "open":
                continue
            is_open += 1
            unanswered += bool(mine - {vote.ballot.voter for vote in standing.votes})
        return is_open, unanswered

    def enclave(self, *, is_fresh: bool = False) -> Inspection:
        """Look at the enclave; evidence is asked for anew when it has aged, or `is_fresh`."""
        genesis = self._party.genesis()
        with self._lock, self._party.enclave() as channel:
            at, known = wiring.clock(), self._look
            if known is not None and not is_fresh and known.tls_key == channel.tls_key:
                status = channel.status()
                if (status.state, status.epoch) == (known.status.state, known.status.epoch) and at < _stale_at(known):
                    return known
            self._look = inspect(channel, genesis, self._party.appraiser, at=at)
            return self._look

    def custodians(self) -> tuple[CustodianFacts, ...]:
        """Ask each custodian which epoch it follows; what they know more of the DAO is taken over, verified."""
        genesis = self._party.genesis() if self._party.has_dao() else None
        facts, clients = [], {}
        for address, client in self._party.custodians().items():
            try:
                key = client.custodian.key
                epochs = [epoch for tip, _, epoch in client.tips(key) if tip == genesis]
            except VaultError as error:
                facts.append(CustodianFacts(address=address, epoch=None, problem=str(error)))
            else:
                clients[key] = client
                facts.append(CustodianFacts(address=address, epoch=max(epochs, default=None)))
        if genesis is not None:
            board, history = self._party.board(), self._party.history()
            ours = {key: client for key, client in clients.items() if history.charter.custodian(key) is not None}
            if ours:
                history = followed(board, history, ours, clock=wiring.clock).history
                pull_proposals(board, history, ours.values())
        return tuple(facts)

    def sealed(self) -> tuple[SealedFacts, ...]:
        """Return the datasets sealed here, the newest first."""
        if not self._party.place.path.is_dir():
            return ()
        records, rows = self._party.records(), self._party.catalog().list()
        states = dataset_copies.states(records, rows)
        known = copies_of(CopyRecords(records), None, places=places.named(self._party.settings, ()))
        copies = {one.manifest: tuple(_copy_words(copy) for copy in one.copies) for one in known}
        return tuple(self._sealed(row, states[row.manifest], copies.get(row.manifest, ())) for row in reversed(rows))

    def _sealed(self, row: DatasetRow, state: str, copies: tuple[str, ...]) -> SealedFacts:
        place = self._party.place
        return SealedFacts(
            manifest=str(row.manifest),
            title=row.title,
            version=row.version,
            owner=address_text(row.owner),
            state=state,
            documents=row.documents,
            passages=row.passages,
            sealed_bytes=row.sealed_bytes,
            created_at=row.created_at,
            copies=copies,
            has_paper=place.paper_confirmed(row.dataset, row.version).exists(),
        )

    def today(self) -> Today:
        """Return what was asked from this home in the last 24 hours, by its receipts."""
        at = wiring.clock()
        first = at - HOURS * HOUR_S
        queries, amounts, currency = [0] * HOURS, [0] * HOURS, ""
        for facts in self._asking.receipts_since(first):
            hour = min(HOURS - 1, max(0, (facts.at - first) // HOUR_S))
            queries[hour] += 1
            amounts[hour] += facts.price
            currency = facts.currency
        return Today(
            queries=tuple(queries), amounts=tuple(amounts), currency=currency or "USDC", whose="asked from this home"
        )


def _copy_words(copy: Copy) -> str:
    """Return where a copy is, and how it stands."""
    return copy.place if copy.state is CopyState.VERIFIED else f"{copy.place} ({copy.state})"


def _stale_at(look: Inspection) -> int:
    """Return when a look is too old to be shown: after half of what was left of its leases, at most half a minute."""
    left = (look.leased_until or look.at) - look.at
    return look.at + max(1, min(EVIDENCE_AGE_S, left // 2))
