"""What one policy accepts of machines against another, in sentences a person understands.

Two entries that judge the same program are one machine whose terms change: each field that is judged otherwise is
named, with what it had to be before. Everything else is told whole, since an entry is as weak as its weakest field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vault.expectation import GPU, KINDS, Expectation, Field, Form, Rule, number
from vault.policy import SIMULATED, AcceptedTee

NAME_DIGITS = 16
ANYTHING = "anything"


def machine_changes(before: Sequence[AcceptedTee], after: Sequence[AcceptedTee]) -> Iterator[str]:
    """Yield a sentence for each machine that is accepted now, or not any more, and for each term that changes."""
    gone = [tee for tee in before if tee not in after]
    come = [tee for tee in after if tee not in before]
    pairs = _pairs(gone, come)
    for old, new in pairs:
        yield from _terms_changes(old, new)
    for tee in come:
        if all(tee is not new for _, new in pairs):
            yield f"accepted now: {tee_words(tee)}"
            yield from _terms(tee)
    for tee in gone:
        if all(tee is not old for old, _ in pairs):
            yield f"not accepted any more: {tee_words(tee)}"


def tee_words(tee: AcceptedTee) -> str:
    """Return an accepted machine as a person says it."""
    measured = ", ".join(f"{one.hex()[:NAME_DIGITS]}…" for one in tee.measurements())
    if tee.kind == SIMULATED:
        return f"SIMULATED TEE, which protects nothing, with measurement {measured}"
    return f"TEE {tee.kind} with measurements {measured}" + ("" if tee.cpu_only else ", and its GPUs")


def _pairs(gone: Sequence[AcceptedTee], come: Sequence[AcceptedTee]) -> list[tuple[AcceptedTee, AcceptedTee]]:
    """Return entries of one kind that accept a measurement in common, those that share most first; each once."""
    shared = {
        (a, b): len(set(old.measurements()) & set(new.measurements()))
        for a, old in enumerate(gone)
        for b, new in enumerate(come)
        if old.kind == new.kind
    }
    pairs: dict[int, int] = {}
    for a, b in sorted(shared, key=lambda pair: -shared[pair]):
        if shared[a, b] and a not in pairs and b not in pairs.values():
            pairs[a] = b
    return [(gone[a], come[b]) for a, b in pairs.items()]


def _terms_changes(old: AcceptedTee, new: AcceptedTee) -> Iterator[str]:
    name = _name(new)
    for was, now in zip(old.expectations, new.expectations, strict=True):
        yield from (f"{name}: {told}" for told in _change(was, now, KINDS[new.kind], ""))
    if old.cpu_only and not new.cpu_only:
        yield f"{name}: its GPUs are judged now"
        yield from _gpu_terms(new)
    elif new.cpu_only and not old.cpu_only:
        yield f"{name}: its GPUs are not judged any more, and may be {ANYTHING}"
    else:
        for was, now in zip(old.gpu, new.gpu, strict=True):
            yield from (f"{name}: {told}" for told in _change(was, now, GPU, "GPU "))


def _change(was: Expectation, now: Expectation, fields: Mapping[str, Field], of: str) -> Iterator[str]:
    """Yield what one field has to be from now on, where that is not what it had to be."""
    if was == now:
        return
    name, form = f"{of}{now.field}", fields[now.field].form
    if was.rule is now.rule is Rule.ONE_OF:
        yield from (f"{name} may be {_value(one, form)}, too" for one in now.values if one not in was.values)
        yield from (f"{name} may not be {_value(one, form)} any more" for one in was.values if one not in now.values)
    else:
        verb = "may" if now.rule is Rule.ANY else "must"
        yield f"{name} {verb} be {_words(now, form)} now; before: {_words(was, form)}"


def _terms(tee: AcceptedTee) -> Iterator[str]:
    yield from _told(_name(tee), tee.expectations, KINDS[tee.kind], "")
    yield from _gpu_terms(tee)


def _gpu_terms(tee: AcceptedTee) -> Iterator[str]:
    yield from _told(_name(tee), tee.gpu, GPU, "GPU ")


def _told(name: str, expectations: Sequence[Expectation], fields: Mapping[str, Field], of: str) -> Iterator[str]:
    """Yield what the fields have to be, and which of them may be anything."""
    judged = [one for one in expectations if one.rule is not Rule.ANY]
    free = [f"{of}{one.field}" for one in expectations if one.rule is Rule.ANY]
    if judged:
        terms = (f"{of}{one.field} is {_words(one, fields[one.field].form)}" for one in judged)
        yield f"{name}: accepted where {'; '.join(terms)}"
    if free:
        yield f"{name}: may be {ANYTHING}: {', '.join(free)}"


def _name(tee: AcceptedTee) -> str:
    measured = next(iter(tee.measurements()), b"").hex()
    return f"{'SIMULATED TEE' if tee.kind == SIMULATED else f'TEE {tee.kind}'} {measured[:NAME_DIGITS]}…"


def _words(expectation: Expectation, form: Form) -> str:
    match expectation.rule:
        case Rule.ANY:
            return ANYTHING
        case Rule.ONE_OF:
            return " or ".join(_value(one, form) for one in expectation.values)
        case Rule.AT_LEAST:
            return f"at least {number(expectation.values[0])}"
        case Rule.AT_MOST:
            return f"at most {number(expectation.values[0])}"
        case Rule.EACH_AT_LEAST:
            return f"at least {expectation.values[0].hex()} in each byte"


def _value(value: bytes, form: Form) -> str:
    return repr(value.decode(errors="backslashreplace")) if form is Form.TEXT else value.hex() or "empty"
