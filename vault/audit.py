"""The audit: receipts, statements and the log held against one another, and each lie named (rules L4, R1, R2, R4).

It takes objects whose signatures were verified, of anybody: some licensees' receipts, some payees' statements, one head
of the log. It says which receipt was not paid for, paid twice, paid another amount, left out or changed, and what it
could not judge for want of an object. Nothing here trusts the enclave that made them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from vault.errors import VaultError
from vault.finding import Audited, Finding, Held, Lie, Refunds
from vault.log_file import LogFile
from vault.merkle_log import verify_consistency
from vault.paid import check_payments
from vault.receipt import FIRST_PREVIOUS
from vault.statement import Settlement, Statement
from vault.statement_file import StatementFile, verify_chain
from vault.transparency import receipt_leaf, refund_leaf
from vault.witness import witnessed_size


def audited(receipts: Sequence[Held], statements: Sequence[StatementFile], logs: Sequence[LogFile]) -> Audited:
    """Return what does not fit, what does, and what could not be judged.

    Args:
        receipts, statements, logs: verified each by itself, all of one DAO. The longest log is the one that receipts
            are looked up in.
    """
    log, *shorter = sorted(logs, key=lambda one: one.head.size, reverse=True) or (None,)
    found = Audited()
    unique = list({one.digest: one for one in receipts}.values())
    settlements = _settlements(statements, found)
    refunded = _refunded(log, found)
    _check_places(unique, found)
    _check_chains(unique, refunded, found)
    if log is None:
        found.open.append("the log: no log file was given, so a receipt may be missing from it")
    else:
        _check_log(unique, settlements, log, found)
        _check_logs(log, [one for one in shorter if one is not None], found)
    _check_epochs(statements, settlements, found)
    check_payments(unique, statements, settlements, refunded, found)
    _check_charged(unique, settlements, refunded, found)
    return found


def _settlements(statements: Iterable[StatementFile], found: Audited) -> dict[int, Settlement]:
    known: dict[int, Settlement] = {}
    for file in statements:
        settlement = file.settlement
        if known.setdefault(settlement.epoch, settlement).cid() != settlement.cid():
            found.findings.append(Finding(Lie.SPLIT, f"two settlements of epoch {settlement.epoch} were signed"))
    return known


def _refunded(log: LogFile | None, found: Audited) -> Refunds:
    """Return the receipts that the log shows as refunded."""
    proven: dict[bytes, int] = {}
    for proof in log.refunds if log is not None else ():
        if _stands(log, refund_leaf(proof.receipt), proof.index, proof.path):
            proven[proof.receipt] = proof.index + 1
        else:
            found.findings.append(Finding(Lie.UNLOGGED, f"the refund of receipt {proof.receipt.hex()[:16]}…"))
    return proven


def _check_places(receipts: Iterable[Held], found: Audited) -> None:
    entries: dict[int, Held] = {}
    for one in receipts:
        other = entries.setdefault(one.receipt.entry, one)
        if other is not one:
            found.findings.append(Finding(Lie.FORKED, f"{one.name} and {other.name} are of one ledger entry"))


def _check_chains(receipts: Iterable[Held], refunded: Refunds, found: Audited) -> None:
    by_licensee: dict[bytes, dict[int, Held]] = defaultdict(dict)
    for one in receipts:
        other = by_licensee[one.licensee].setdefault(one.receipt.sequence, one)
        if other is not one:
            found.findings.append(Finding(Lie.FORKED, f"there are two of {one.name}"))
    for licensee, chain in by_licensee.items():
        numbers = sorted(chain)
        first, last = numbers[0], numbers[-1]
        known = {FIRST_PREVIOUS}
        for before, number in pairwise([0, *numbers]):
            one, later = chain[number], chain.get(number + 1)
            if number > before + 1:
                found.findings += _missing(licensee, before + 1, number - 1, one.receipt.previous in refunded)
                known.clear()  # a missing one may have been confirmed
            if known and one.receipt.confirmed not in known:
                about = f"{one.name}: the request confirmed a receipt that is not in the chain"
                found.findings.append(Finding(Lie.UNCHAINED, about))
            known |= {one.digest} if known else set()
            if later is not None:
                _check_link(one, later, refunded, found)
        if first == 1 and chain[1].receipt.previous != FIRST_PREVIOUS:
            found.findings.append(Finding(Lie.UNCHAINED, f"{chain[1].name} names one before it"))
        found.held.append(f"receipts {first} to {last} of 0x{licensee.hex()} form a chain of {len(chain)}")


def _missing(licensee: bytes, first: int, last: int, is_last_refunded: bool) -> Iterator[Finding]:
    """Yield what is wrong where the receipts of these numbers are not there: who signs may leave out any number."""
    last -= is_last_refunded
    if first <= last:
        which = f"receipt {first}" if first == last else f"receipts {first} to {last}"
        are, them = ("is", "it") if first == last else ("are", "them")
        about = f"{which} of 0x{licensee.hex()} {are} missing, and no refund of {them} is shown"
        yield Finding(Lie.GAP, about)


def _check_link(one: Held, later: Held, refunded: Refunds, found: Audited) -> None:
    if later.receipt.previous != one.digest:
        found.findings.append(Finding(Lie.UNCHAINED, f"{later.name} names another one before it than {one.name}"))
    if later.receipt.entry <= one.receipt.entry or later.receipt.at < one.receipt.at:
        found.findings.append(Finding(Lie.UNCHAINED, f"{later.name} is not later than {one.name}"))
    if later.receipt.confirmed == one.digest and one.digest in refunded:
        found.findings.append(Finding(Lie.RETRACTED, f"{one.name} was refunded though the next request confirmed it"))


def _check_log(receipts: Iterable[Held], settlements: dict[int, Settlement], log: LogFile, found: Audited) -> None:
    paths = {proof.index: proof.path for proof in log.leaves}
    for one in receipts:
        index, leaf = one.receipt.entry - 1, receipt_leaf(one.receipt.request, one.digest)
        if index >= log.head.size:
            about = f"{one.name}: the log ends at entry {log.head.size}"
        elif index not in paths:
            about = f"{one.name}: the log file holds no proof of it"
        elif not _stands(log, leaf, index, paths[index]):
            about = f"{one.name}: the log holds something else in its place"
        else:
            continue
        found.findings.append(Finding(Lie.UNLOGGED, about))
    earlier = {one.size: one.proof for one in log.earlier}
    for epoch, settlement in sorted(settlements.items()):
        if settlement.last not in earlier:
            found.open.append(f"epoch {epoch}: the log file does not say whether its log began with the settlement's")
            continue
        try:
            verify_consistency(
                settlement.last, settlement.log_root, log.head.size, log.head.root, earlier[settlement.last]
            )
        except VaultError:
            found.findings.append(Finding(Lie.SPLIT, f"the log does not begin with the one that settled epoch {epoch}"))
    found.held.append(f"the log has {log.head.size} entries")
    _check_witnessed(receipts, log, found)


def _check_logs(log: LogFile, shorter: Iterable[LogFile], found: Audited) -> None:
    """Hold logs that were handed out at other times, or to others, against the longest one."""
    earlier = {one.size: one.proof for one in log.earlier}
    for other in {one.head.root: one for one in shorter}.values():
        size, same = other.head.size, other.head.size == log.head.size
        if not same and size not in earlier:
            found.open.append(
                f"the log of {size} entries: the longer one does not say whether it begins with it; fetch it with the "
                "shorter one among the files"
            )
            continue
        try:
            verify_consistency(size, other.head.root, log.head.size, log.head.root, () if same else earlier[size])
        except VaultError:
            about = f"logs of {size} and of {log.head.size} entries were signed, and the one does not begin the other"
            found.findings.append(Finding(Lie.SPLIT, about))


def _check_witnessed(receipts: Iterable[Held], log: LogFile, found: Audited) -> None:
    """Say how much of the log custodians signed: what lies beyond rests on the enclave's word alone (rule R3)."""
    size, custodians = witnessed_size(log.leased()), len(log.vouching.charter.custodians)
    found.held.append(f"its first {size} entries are signed by {log.witnesses()} of {custodians} custodians")
    later = [one for one in receipts if size < one.receipt.entry <= log.head.size]
    if later:
        found.open.append(
            f"{len(later)} receipts, from ledger entry {min(one.receipt.entry for one in later)} on: custodians have "
            "not signed the log that far; fetch it again once the enclave has renewed its leases"
        )


def _check_epochs(statements: Sequence[StatementFile], settlements: dict[int, Settlement], found: Audited) -> None:
    for (_, one), (_, later) in pairwise(sorted(settlements.items())):
        if later.epoch == one.epoch + 1 and later.first != one.last + 1:
            about = f"between epochs {one.epoch} and {later.epoch}, entries belong to none or to both"
            found.findings.append(Finding(Lie.SPLIT, about))
    by_account: dict[str, dict[int, Statement]] = defaultdict(dict)
    for file in statements:
        made = file.statement
        if by_account[made.account].setdefault(made.epoch, made) != made:
            found.findings.append(
                Finding(Lie.SPLIT, f"two statements of {made.account} were made for epoch {made.epoch}")
            )
    for account, epochs in by_account.items():
        for number, statement in sorted(epochs.items()):
            if number + 1 in epochs:
                try:
                    verify_chain(statement, epochs[number + 1])
                except VaultError as error:
                    about = f"{account}, epochs {number} and {number + 1}: {error}"
                    found.findings.append(Finding(Lie.CHANGED, about))


def _check_charged(
    receipts: Iterable[Held], settlements: dict[int, Settlement], refunded: Refunds, found: Audited
) -> None:
    for epoch, settlement in sorted(settlements.items()):
        shown: dict[str, int] = defaultdict(int)
        for one in receipts:
            if settlement.first <= one.receipt.entry <= settlement.last and one.digest not in refunded:
                shown[one.receipt.currency] += one.receipt.price
        told = {one.currency: one.charged for one in settlement.currencies}
        for currency, amount in shown.items():
            if amount > told.get(currency, 0):
                about = f"epoch {epoch}: {told.get(currency, 0)} micro-{currency} charged, and receipts show {amount}"
                found.findings.append(Finding(Lie.UNDERCHARGED, about))


def _stands(log: LogFile | None, leaf: bytes, index: int, path: Sequence[bytes]) -> bool:
    if log is None:
        return False
    try:
        log.head.require_leaf(leaf, index, path)
    except VaultError:
        return False
    return True
