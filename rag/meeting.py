"""Whether one passage meets a filter, asked of it by itself: no index, and nothing heavy to import."""

from __future__ import annotations

from rag.facts import entries
from rag.filters import Clause, Equals, Exists, Filter, In, Range, Scalar
from rag.model import Metadata


def meets(metadata: Metadata, filter_: Filter) -> bool:
    """Say whether a passage of this metadata meets a filter, as `rag.metadata.MetadataIndex` would.

    Raises: MalformedMetadata.
    """
    facts: dict[tuple[str, type], set[Scalar]] = {}
    for key, value in entries(metadata, 0):
        facts.setdefault((key, type(value)), set()).add(value)
    return _meets(facts, filter_)


def _meets(facts: dict[tuple[str, type], set[Scalar]], filter_: Filter) -> bool:
    match filter_:
        case Equals(key=key, value=value, kind=kind):
            return value in facts.get((key, kind), ())
        case In(key=key, values=values):
            return not facts.get((key, type(values[0])), set()).isdisjoint(values)
        case Range(key=key):
            return any(filter_.lowest <= int(number) <= filter_.highest for number in facts.get((key, int), ()))
        case Exists(key=key):
            return any((key, kind) in facts for kind in (str, int, bool))
        case Clause(must=must, should=should, must_not=must_not):
            return (
                all(_meets(facts, part) for part in must)
                and (not should or any(_meets(facts, part) for part in should))
                and not any(_meets(facts, part) for part in must_not)
            )
