"""What every framework is told beside a passage's words: its source, its place in the corpus, and the receipt."""

from __future__ import annotations

from typing import Any

from enclave.answers import Answer, Embedding, Result


def receipt_facts(paid: Answer | Embedding) -> dict[str, Any]:
    """Return what a receipt says, as JSON; the receipt itself is wherever the client keeps it."""
    receipt = paid.receipt
    return {
        "cid": str(receipt.cid()),
        "sequence": receipt.sequence,
        "price": receipt.price,
        "currency": receipt.currency,
        "budget_left": receipt.budget_left,
        "at": receipt.at,
        "tee": receipt.tee,
        "policy": str(receipt.policy),
        "is_repeat": paid.is_repeat,
    }


def passage_facts(result: Result) -> dict[str, Any]:
    """Return where a passage stands and what its owner sealed beside it, as JSON; without its words."""
    return {
        "source": result.document,
        "start": result.passage.start,
        "end": result.passage.end,
        "score": result.score,
        "dataset": str(result.manifest),
        "index": result.index,
        "is_redacted": result.is_redacted,
        "facts": {
            key: fact if isinstance(fact, (str, int)) else list(fact) for key, fact in sorted(result.metadata.items())
        },
    }


def passage_id(result: Result) -> str:
    """Return the name of a passage's place: dataset version and index."""
    return f"{result.manifest}/{result.index}"
