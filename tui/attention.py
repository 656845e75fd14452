"""What needs a person's attention, from what the screens know: a pure function, the gravest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tui.desk.overview import SealedFacts
from tui.pulse import Pulse
from tui.words import counted, time_left_text

DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """One thing to look at: what it is, what to do, and on which screen."""

    words: str
    page: str
    is_grave: bool = False


def attention(pulse: Pulse, sealed: Sequence[SealedFacts]) -> tuple[Attention, ...]:
    """Return what needs attention."""
    found = [*_services(pulse), *_datasets(sealed), *_votes(pulse)]
    return tuple(sorted(found, key=lambda one: not one.is_grave))


def _services(pulse: Pulse) -> Iterator[Attention]:
    if pulse.enclave_problem:
        yield Attention(words=f"the enclave is lost: {pulse.enclave_problem}", page="attestation", is_grave=True)
    look = pulse.enclave
    if look is not None and not pulse.enclave_problem:
        if not look.is_proved:
            yield Attention(words=f"the enclave is not proved: {look.refusal}", page="attestation", is_grave=True)
        left = look.leased_until - pulse.at if look.leased_until is not None else None
        if left is not None and left <= 0:
            yield Attention(words="the enclave's leases have ended", page="attestation", is_grave=True)
        yield from (
            Attention(
                words=f"policy {policy.title} ends in {time_left_text(policy.expires_at - pulse.at)}", page="governance"
            )
            for policy in (look.grounds.policies.values() if look.grounds is not None else ())
            if policy.expires_at - pulse.at < 7 * DAY_S
        )
    for custodian in pulse.custodians:
        if custodian.problem:
            yield Attention(words=custodian.problem, page="overview", is_grave=True)
        elif pulse.dao is not None and custodian.epoch is not None and custodian.epoch < pulse.dao.epoch:
            behind = counted(pulse.dao.epoch - custodian.epoch, "epoch")
            yield Attention(words=f"custodian {custodian.address} is {behind} behind", page="overview")
    if pulse.dao_problem:
        yield Attention(words=pulse.dao_problem, page="governance", is_grave=True)


def _datasets(sealed: Sequence[SealedFacts]) -> Iterator[Attention]:
    for dataset in sealed:
        if dataset.state == "pending":
            yield Attention(words=f"{dataset.title or 'a dataset'} waits for copies", page="datasets")
        elif dataset.state != "published":
            yield Attention(words=f"{dataset.title or 'a dataset'} is sealed and not published", page="datasets")
        if not dataset.has_paper:
            name = dataset.title or "a dataset"
            yield Attention(words=f"the key of {name} is not on paper: a lost disk would lose it", page="datasets")


def _votes(pulse: Pulse) -> Iterator[Attention]:
    if pulse.dao is not None and pulse.dao.unanswered:
        waiting = counted(pulse.dao.unanswered, "open proposal")
        yield Attention(words=f"{waiting} without a vote of yours", page="governance")
