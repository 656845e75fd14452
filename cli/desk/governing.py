"""A member's and a guardian's side of the DAO in one home, done as the commands do it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cli import wiring
from cli.casting import blank_for, cast, verified_weight, warning_of
from cli.dao_custody import brought, caught_up, custody_of
from cli.dao_diff import changes_of
from cli.dao_guardians import acted
from cli.dao_hand import Hand
from cli.dao_queue import carried_out, closed_and_queued
from cli.dao_rolls import seen_in
from cli.dao_standing import state_of
from cli.dao_verify import board_links
from cli.desk.party import PartyContext
from cli.desk.wallets import LocalWallets
from storage.cid import Cid
from tui.desk.governing import ProposalFacts, Proposals, Revocable, Taken, VoteFacts
from vault.action import Scope
from vault.assembly import fetch_from, policy_of, roll_of
from vault.ballot import Ballot, Support
from vault.board import Kind
from vault.closing import final_at
from vault.epochs import verified_epochs
from vault.errors import InvalidDecision, ServiceUnavailable, VaultError
from vault.gathering import cancel_act, revoke_act
from vault.guardian import Act
from vault.history import History
from vault.plain_text import counted
from vault.pulling import pull_proposals, pull_votes
from vault.signing import address_from, address_text
from vault.standing import Standing, standing_of

if TYPE_CHECKING:
    from vault.ballot import Proposal
    from vault.client import CustodyClient


class LocalGoverning:
    """Signs with this home's wallets, hands in to the custodians that the settings name."""

    def __init__(self, party: PartyContext, wallets: LocalWallets) -> None:
        self._party = party
        self._wallets = wallets

    def proposals(self) -> Proposals:
        """Return how every proposal stands; votes that custodians hold are taken over first, verified."""
        board, history, at = self._party.board(), self._party.history(), wiring.clock()
        self._pull(history)
        mine = {address_from(wallet.address): wallet.name for wallet in self._wallets.wallets()}
        past: dict[int, History] | None = None
        facts, refused = [], []
        for cid, _ in board.list(Kind.PROPOSAL, history.genesis):
            if past is None and history.charter_epoch:  # proposals under older charters need the histories of then
                chain = verified_epochs(fetch_from(board), history.genesis, history.head.cid(), at=at)
                past = {epoch.after.head.epoch: epoch.after for epoch in chain}
            try:
                standing = standing_of(board, history, cid, at=at, past=past)
                facts.append(self._facts(history, standing, frozenset(mine), at))
            except VaultError as error:
                refused.append(f"proposal {cid} does not count: {error}")
        facts.sort(key=lambda one: (one.opens_at, one.cid), reverse=True)
        return Proposals(
            proposals=tuple(facts),
            refused=tuple(refused),
            voters=tuple(mine[address] for address in self._members(history) if address in mine),
            guardians=tuple(mine[address] for address in history.charter.guardians if address in mine),
        )

    def _members(self, history: History) -> tuple[bytes, ...]:
        try:
            return tuple(address for address, _ in roll_of(self._party.board(), history.charter).members)
        except VaultError:
            return ()  # the roll is not here: nobody can vote from here

    def _pull(self, history: History) -> None:
        """Take over what custodians hold; one that is down leaves the rest."""
        board, at = self._party.board(), wiring.clock()
        clients = self._custodians(history)
        if not clients:
            return
        with suppress(VaultError):
            pull_proposals(board, history, clients)
        for cid, _ in board.list(Kind.PROPOSAL, history.genesis):
            with suppress(VaultError):
                standing = standing_of(board, history, cid, at=at)
                if standing.words(at) in ("open", "closing", "closed"):
                    pull_votes(board, history, standing.proposal, clients)

    def _custodians(self, history: History) -> list[CustodyClient]:
        clients = []
        for client in self._party.custodians().values():
            with suppress(ServiceUnavailable):
                if history.charter.custodian(client.custodian.key) is not None:
                    clients.append(client)
        return clients

    def _facts(self, history: History, standing: Standing, mine: frozenset[bytes], at: int) -> ProposalFacts:
        board, proposal, count = self._party.board(), standing.proposal, standing.tally
        policy = policy_of(board, proposal)
        last = {vote.ballot.voter: vote for vote in sorted(standing.votes, key=lambda vote: vote.ballot.rank())}
        return ProposalFacts(
            cid=str(proposal.cid()),
            title=_title(policy.title if policy is not None else "", proposal),
            changes=tuple(changes_of(self._party.settings, board, history, proposal)),
            warning=seen_in(board, proposal).warning,
            accepts_simulated=policy is not None and policy.accepts_simulated(),
            proposer=address_text(proposal.proposer),
            state=state_of(standing, at),
            weight_for=count.weight_for,
            weight_against=count.weight_against,
            weight_abstain=count.weight_abstain,
            total=count.total,
            quorum_bps=count.quorum_bps,
            threshold_bps=count.threshold_bps,
            has_quorum=count.has_quorum(),
            is_carried=count.is_carried(),
            is_settled=standing.decision is not None,
            opens_at=proposal.opens_at,
            closes_at=proposal.closes_at,
            final_at=final_at(proposal, standing.charter),
            free_at=standing.free_at,
            votes=tuple(
                VoteFacts(
                    voter=address_text(vote.ballot.voter),
                    support=vote.ballot.support.value,
                    weight=int.from_bytes(vote.weight, "big"),
                    reason=vote.ballot.reason,
                    is_mine=vote.ballot.voter in mine,
                )
                for _, vote in sorted(last.items())
            ),
            problems=(
                *standing.refused,
                *(f"a vote of {address_text(vote.ballot.voter)} was left out" for vote in standing.left_out),
            ),
        )

    def vote(self, proposal: str, support: str, wallet: str, reason: str) -> Taken:
        """Sign a ballot and hand it to the custodians."""
        found, history = self._brought(proposal)
        board, answer, hand = self._party.board(), Support(support), self._hand(wallet)
        warning_of(board, found, answer)

        def made_under(history: History) -> Ballot:
            verified_weight(board, history, hand.address)
            blank = blank_for(board, history, found, answer, hand.address, reason)
            return hand.signed(blank, history.charter.domain(history.genesis))

        said = cast(self._party.settings, board, history, found, made_under)
        held = f"{said['acknowledged']} of {counted(said['custodians'], 'custodian')} acknowledged it"
        left = counted(said["changes_left"], "more answer")
        return Taken(
            words=f"voted {support}; {held}; you may give {left}",
            is_enough=said["is_enough"],
            problems=_problems(said),
        )

    def close_vote(self, proposal: str) -> Taken:
        """Have the custodians close a vote; a carried decision goes into its timelock."""
        found, history = self._brought(proposal)
        with custody_of(self._party.settings, history) as places:
            board = self._party.board()
            said = closed_and_queued(board, caught_up(board, history, places), places, found)
        if not said["is_carried"]:
            return Taken(words=f"closed and defeated: {said['count']}", is_enough=True, problems=_problems(said))
        kept = counted(len(said["custodians"]), "custodian")
        words = f"closed and carried: {said['count']}; {kept} keep it through its timelock"
        return Taken(words=words, is_enough=bool(said["custodians"]), problems=_problems(said))

    def carry_out(self, proposal: str) -> Taken:
        """Have the custodians put a decision into the head."""
        found, history = self._brought(proposal)
        with custody_of(self._party.settings, history) as places:
            board = self._party.board()
            said = carried_out(board, caught_up(board, history, places), places, found)
        return _carried(said, "carried out")

    def cancel(self, proposal: str, wallet: str) -> Taken:
        """As a guardian, stop a grant before it is carried out."""
        found, _ = self._brought(proposal)
        if found.action.adopts is None:
            raise InvalidDecision("guardians cancel what would grant; charter changes and revocations are not theirs")
        return self._act(lambda now: cancel_act(now, found.cid()), wallet)

    def revocable(self) -> tuple[Revocable, ...]:
        """Return what guardians may take away: each policy in force, each of their datasets, and everything."""
        history = self._party.history()
        found = [
            Revocable(scope=Scope.POLICY.value, subject=cid.binary.hex(), words=f"policy {policy.title}")
            for cid, policy in history.policies.items()
        ]
        datasets = {
            one.lineage(history.genesis): one for policy in history.policies.values() for one in policy.datasets
        }
        found += [
            Revocable(
                scope=Scope.DATASET.value,
                subject=lineage.hex(),
                words=f"dataset {one.dataset.hex()[:12]}… of {address_text(one.owner)}, in all versions",
            )
            for lineage, one in datasets.items()
        ]
        return (*found, Revocable(scope=Scope.DAO.value, subject="", words="everything: no policy stays in force"))

    def revoke(self, what: Revocable, wallet: str) -> Taken:
        """As a guardian, take something away at once."""
        return self._act(lambda now: revoke_act(now, Scope(what.scope), bytes.fromhex(what.subject)), wallet)

    def verify(self, tell: Callable[[str], None]) -> int:
        """Verify all that was ever decided, from the charter on; tell each link that holds, return their number."""
        links = 0
        for link in board_links(self._party.board(), self._party.genesis()):
            tell(link)
            links += 1
        return links

    def _act(self, wanted: Callable[[History], Act], wallet: str) -> Taken:
        settings, board, history = self._party.settings, self._party.board(), self._party.history()
        said = acted(settings, board, history, wanted, self._hand(wallet))
        signed = f"{said['act']}: {said['signed']} of {said['needed']} guardians signed"
        if said["signed"] < said["needed"]:
            return Taken(
                words=f"{signed}; the others sign from their terminals", is_enough=True, problems=_problems(said)
            )
        return _carried(said, f"{signed}, and it is done")

    def _brought(self, proposal: str) -> tuple[Proposal, History]:
        return brought(self._party.settings, self._party.board(), self._party.history(), Cid.parse(proposal))

    def _hand(self, wallet: str) -> Hand:
        key = self._party.key(wallet)
        return Hand(key.address, key=key)


def _title(policy: str, proposal: Proposal) -> str:
    if policy:
        return f"adopt {policy!r}" + (f" in place of {len(proposal.action.drops)}" if proposal.action.drops else "")
    if proposal.action.charter is not None:
        return "change the charter"
    return proposal.action.words()


def _carried(said: dict[str, Any], what: str) -> Taken:
    if said["is_in_effect"]:
        return Taken(words=f"{what}: epoch {said['epoch']}", is_enough=True, problems=_problems(said))
    words = "custodians took it and have not settled yet on what comes next; do it again in a moment"
    return Taken(words=words, is_enough=False, problems=_problems(said))


def _problems(said: dict[str, Any]) -> tuple[str, ...]:
    return tuple(f"{address}: {why}" for address, why in sorted(said.get("failed", {}).items()))
