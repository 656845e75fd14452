"""What the receipts and entries of one session have in common, written once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from enclave.asked import Asked
from enclave.grounds import Grounds
from vault.entry import Entry, Kind, QueryDetail
from vault.license import License
from vault.policy import Policy
from vault.receipt import Receipt
from vault.record_encoding import form_of
from vault.royalty import licensee_account

SESSIONS_KEPT: Final = 4096  # one is some six kilobytes

Form = Callable[[Mapping[str, Any]], bytes]


class AnswerForms(NamedTuple):
    """The forms of one licensee's answers on the same grounds."""

    account: str
    receipt: Form
    detail: Form
    entry: Form


class KeptForms:
    """Forms by delegation, which names license and policy; the oldest make room."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[AnswerForms, Policy, License, Grounds]] = {}  # no question stays in memory

    def of(self, asked: Asked, grounds: Grounds) -> AnswerForms:
        """Return the forms for an answer to what is asked, on these grounds."""
        known = self._known.get(asked.delegation)
        if known is not None:
            forms, policy, license, on = known
            if on is grounds and asked.policy is policy and _is_same(asked.license, license):
                return forms
        elif len(self._known) >= SESSIONS_KEPT:
            del self._known[next(iter(self._known))]
        forms = answer_forms(asked, grounds)
        self._known[asked.delegation] = forms, asked.policy, asked.license, grounds
        return forms


def _is_same(one: License, other: License) -> bool:
    return one is other or one.cid() == other.cid()


def answer_forms(asked: Asked, grounds: Grounds) -> AnswerForms:
    """Return what writes receipts and entries, given what each answer has of its own."""
    terms, policy, license = grounds.terms, asked.policy, asked.license
    receipt = {
        "genesis": terms.genesis,
        "ledger": terms.ledger,
        "instance": terms.instance,
        "evidence": terms.evidence,
        "head": terms.head,
        "policy": asked.permit.policy,
        "license": license.cid(),
        "currency": policy.currency,
        "tee": grounds.evidence.kind,
    }
    detail = {
        "policy": asked.permit.policy,
        "delegation": asked.delegation,
        "instance": terms.instance,
        "shares_budget": policy.licensees.shares_budget,
    }
    entry = {"kind": Kind.QUERY, "licensee": license.licensee, "lost": (), "vectors": None, "promised": None}
    return AnswerForms(
        licensee_account(license.licensee, policy.currency),
        form_of(Receipt, receipt),
        form_of(QueryDetail, detail),
        form_of(Entry, entry),
    )
