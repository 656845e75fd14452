"""What custodians tell one another of a DAO, so that one restored from a backup signs nothing it would regret (F5).

A restored custodian has forgotten leases, anchors and manifests. It asks others over a nonce, and each answers with a
`CustodyState` signed by its charter key. Any q-1 others that signed something together with the forgetful one share,
with any q others that answer, at least 2q-n custodians, and 2q-n > f: one of those is honest and remembers. So the
highest of what q others say is at least what was forgotten. Where a charter has fewer than q others, all are needed.

A question carries a number that only grows, and whoever is asked keeps the asker's highest one. A custodian that is
shown another question of its own with as high a number was rolled back, and knows it; nobody else can make that up.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.charter import Charter, Window
from vault.codec import Digest, Length, PublicKey, Record, record
from vault.errors import ForkedHistory, InvalidSignature, StaleState
from vault.lease import CLOCK_SKEW_S
from vault.lineage import lineage_id
from vault.machine import MachineSigned
from vault.manifest import Manifest
from vault.window import EMPTY_ANCHOR, WINDOWS_MAX, Anchor, HandBack, OpenWindow, Reported

QUESTION_BYTES_MAX = 512
ADOPTED_MAX = WINDOWS_MAX - 1  # windows; one place is left for the instance that renews next


@record
class StateQuestion(MachineSigned):
    """One custodian asks another what it remembers of a DAO."""

    TYPE: ClassVar[str] = "coffer/state-question/v1"

    custodian: PublicKey  # who asks
    asked: PublicKey  # and whom: nobody else keeps its number
    genesis: Cid
    nonce: Digest
    number: int  # of all the asker's questions; the next one's is higher

    def signer(self) -> bytes:
        """Return the custodian that asks."""
        return self.custodian

    def digest(self) -> bytes:
        """Return the SHA-256 that answers name it by."""
        return sha256(self.encoded()).digest()


@record
class Standing(Record):
    """Who was leased a ledger, until when, and how far the ledger had come."""

    instance: PublicKey | None  # None once it was handed back
    not_after: int
    anchor: Anchor


UNLEASED = Standing(instance=None, not_after=0, anchor=EMPTY_ANCHOR)
NOBODY = sha256(b"coffer/nobody/v1").digest()  # in an instance's place where it is disputed who holds a lease


@record
class CustodyState(MachineSigned):
    """What one custodian remembers of a DAO, for whoever asked."""

    TYPE: ClassVar[str] = "coffer/custody-state/v1"

    custodian: PublicKey
    question: Digest
    genesis: Cid
    head: Cid
    epoch: int
    standing: Standing
    windows: Reported  # open ones, as far as this custodian knows
    returned: HandBack | None  # the last one it was given, as the instance signed it
    state_key: Annotated[bytes, Length(0, 32)]  # commitment of the state key that it holds a share of; empty for none
    last_question: Annotated[bytes, Length(0, QUESTION_BYTES_MAX)]  # the asker's own of the highest number kept here

    def signer(self) -> bytes:
        """Return the custodian that answers."""
        return self.custodian


def others_needed(charter: Charter) -> int:
    """Return how many others a restored custodian has to hear: q, or all where there are fewer."""
    return min(charter.signatures, len(charter.custodians) - 1)


def lineage(manifest: Manifest) -> bytes:
    """Return what versions are registered under: owner and DAO too, so that nobody can occupy another's dataset id."""
    return lineage_id(manifest.genesis, manifest.owner, manifest.dataset)


def verify_question(question: StateQuestion, charter: Charter, *, asked: bytes) -> None:
    """Raise `InvalidSignature` unless a custodian of this charter asks this very one."""
    if charter.custodian(question.custodian) is None or question.asked != asked:
        raise InvalidSignature("only a custodian of this DAO is told what another one remembers")
    question.verify()


def verify_state(state: CustodyState, question: StateQuestion, charter: Charter, *, at: int) -> None:
    """Raise unless the state is another charter custodian's answer to this very question.

    Raises: `InvalidSignature` for a stranger's, our own or an unsigned state; `StaleState` for an answer to another
        question, or one that claims a lease no custodian may have given by `at` (UTC seconds).
    """
    if state.custodian == question.custodian or charter.custodian(state.custodian) is None:
        raise InvalidSignature("a state is from a machine that is no other custodian of this DAO")
    state.verify()
    if (state.question, state.genesis) != (question.digest(), question.genesis):
        raise StaleState(f"custodian {state.custodian.hex()} answered another question than the one asked")
    if state.standing.not_after > at + charter.lease_s + CLOCK_SKEW_S:
        raise StaleState(
            f"custodian {state.custodian.hex()} claims a lease longer than the charter allows; compare the clocks"
        )


def is_rolled_back(question: StateQuestion, state: CustodyState) -> bool:
    """Say whether the answer shows another question of ours that bears this number or a higher one.

    Raises: `InvalidSignature`, `MalformedObject`: what is shown is not ours, or was not asked of who shows it.
    """
    if not state.last_question:
        return False
    shown = StateQuestion.from_bytes(state.last_question, bytes_max=QUESTION_BYTES_MAX)
    if (shown.custodian, shown.asked) != (question.custodian, state.custodian):
        raise InvalidSignature(f"custodian {state.custodian.hex()} showed a question that we did not ask of it")
    shown.verify()
    return shown.number >= question.number and shown != question


def shown_question(state: CustodyState) -> StateQuestion:
    """Return the question that `is_rolled_back` looked at."""
    return StateQuestion.from_bytes(state.last_question, bytes_max=QUESTION_BYTES_MAX)


def highest_standing(states: Iterable[CustodyState], *, support: int, ended_by: int = 0) -> Standing:
    """Return the highest of what at least `support` of the states say, each state being another custodian's.

    With a support of f+1 a liar can neither raise nor extend anything; with 1, whatever one of them remembers counts.
    A lease that is told of outweighs any word that there is none; where leases of several instances are told of, it is
    `NOBODY`'s until the last of them has ended, since any of them may be a lie that hides the true one.

    Args:
        ended_by: UTC seconds; leases that ended by then count for nothing.
    Raises: `ForkedHistory` where two entries of a ledger bear the same number.
    """
    standings = [state.standing for state in states]
    instance, not_after = _longest_lease(standings, support=support, ended_by=ended_by)
    return Standing(instance=instance, not_after=not_after, anchor=_highest_anchor(standings, support=support))


def succeeding(ours: Standing, theirs: Standing) -> Standing:
    """Return what a restored custodian goes on from: the others' lease, and the higher anchor.

    The lease it remembers itself may have been handed back since. Raises `ForkedHistory` where anchors contradict.
    """
    return Standing(
        instance=theirs.instance, not_after=theirs.not_after, anchor=higher_anchor(ours.anchor, theirs.anchor)
    )


def merged(ours: Standing, theirs: Standing, *, at: int, skew_s: int) -> Standing:
    """Return what a custodian that forgot nothing goes on from: its own lease while that runs, and the higher anchor.

    Raises: `ForkedHistory` where anchors contradict.
    """
    running = [one for one in (ours, theirs) if one.instance is not None and at < one.not_after + skew_s]
    lease = running[0] if running else max(theirs, ours, key=lambda standing: standing.not_after)
    return Standing(
        instance=lease.instance, not_after=lease.not_after, anchor=higher_anchor(ours.anchor, theirs.anchor)
    )


def higher_anchor(first: Anchor, second: Anchor) -> Anchor:
    """Return the later of two entries of a ledger, or raise `ForkedHistory` where two bear one number."""
    return _highest([first, second])


def all_windows(states: Sequence[CustodyState]) -> tuple[OpenWindow, ...]:
    """Return every instance's window that any of the states reports, the last one and the largest.

    Where they are more than `ADOPTED_MAX`, the states take turns in naming one: however many a liar invents, those of
    each other custodian come first up to its share. It begins with those that most report, and the latest of these.
    """
    known: dict[bytes, list[OpenWindow]] = defaultdict(list)
    for state in states:
        for window in state.windows:
            known[window.instance].append(window)
    ranked = [
        sorted(
            state.windows,
            key=lambda window: (len(known[window.instance]), window.start, window.instance),
            reverse=True,
        )
        for state in states
    ]
    named: dict[bytes, None] = {}  # in the order of the turns
    queues = [iter(windows) for windows in ranked]
    while queues and len(named) < ADOPTED_MAX:
        queues = [queue for queue in queues if _names_another(queue, named)]
    return tuple(_covering(known[instance]) for instance in sorted(list(named)[:ADOPTED_MAX]))


def last_hand_back(states: Sequence[CustodyState], ledger: bytes, anchor: Anchor) -> HandBack | None:
    """Return the hand-back by which an instance stopped at this very anchor, or None where nobody shows one.

    Its instance signed it, so whoever shows it. A liar can sign some with keys of its own: those of an instance that
    the states report a window of go first, and then those that most show.
    """
    shown: dict[HandBack, int] = defaultdict(int)
    for state in states:
        back = state.returned
        if back is not None and (back.genesis, back.ledger, back.anchor) == (state.genesis, ledger, anchor):
            shown[back] += 1
    missed = {window.instance for state in states for window in state.windows}
    for back in sorted(shown, key=lambda back: (back.instance not in missed, -shown[back], back.instance)):
        with suppress(InvalidSignature):
            back.verify()
            return back
    return None


def other_state_key(states: Sequence[CustodyState], ours: bytes, *, liars: int) -> bool:
    """Say whether more than f states commit to one state key that is not the one we hold a share of."""
    theirs = Counter(state.state_key for state in states if state.state_key)
    return any(count > liars and commitment != ours for commitment, count in theirs.items())


def _names_another(queue: Iterator[OpenWindow], named: dict[bytes, None]) -> bool:
    """Name the queue's next window that nobody named before; say whether there was one."""
    window = next((window for window in queue if window.instance not in named), None)
    if window is not None:
        named[window.instance] = None
    return window is not None


def _covering(windows: Sequence[OpenWindow]) -> OpenWindow:
    sizes = [window.window for window in windows]
    return OpenWindow(
        instance=windows[0].instance,
        start=max(window.start for window in windows),
        window=Window(
            entries=max(size.entries for size in sizes),
            passages=max(size.passages for size in sizes),
            spend=max(size.spend for size in sizes),
        ),
    )


def _longest_lease(standings: Sequence[Standing], *, support: int, ended_by: int) -> tuple[bytes | None, int]:
    ends: dict[bytes | None, list[int]] = defaultdict(list)
    for standing in standings:
        ends[standing.instance].append(standing.not_after)
    supported = {
        instance: sorted(times, reverse=True)[support - 1] for instance, times in ends.items() if len(times) >= support
    }
    running = {instance: end for instance, end in supported.items() if instance is not None and end > ended_by}
    if not running:
        return None, max(supported.values(), default=0)
    return next(iter(running)) if len(running) == 1 else NOBODY, max(running.values())


def _highest_anchor(standings: Sequence[Standing], *, support: int) -> Anchor:
    anchors = [standing.anchor for standing in standings]
    return _highest([anchor for anchor in anchors if anchors.count(anchor) >= support])


def _highest(anchors: Sequence[Anchor]) -> Anchor:
    top = max((anchor.sequence for anchor in anchors), default=0)
    highest = {anchor for anchor in anchors if anchor.sequence == top}
    if len(highest) > 1:
        raise ForkedHistory(f"there are different entries {top} of one ledger; whoever remembers one of them lies")
    return highest.pop() if highest else EMPTY_ANCHOR
