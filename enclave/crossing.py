"""Asks and answers as they cross to the engine's process and back: plain tuples, a third of the time of objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from enclave.found import Answer, Ask, Found, Recall, Shaping
from storage.cid import Cid
from vault.errors import VaultError
from vault.question import PLAIN, Options

Crossing: TypeAlias = "tuple[bytes, int, float, bytes, bytes, bytes, bytes, Shaping, str | None]"
Crossed: TypeAlias = "tuple[list[Crossing], bytes, float, float, tuple[tuple[bytes, int], ...]] | VaultError"
CrossingAsk: TypeAlias = (
    "tuple[str, bytes, tuple[bytes, ...], int, Options | None, Shaping, tuple[bytes, ...]] | Recall"
)


def crossing_asks(asks: Iterable[Ask | Recall]) -> list[CrossingAsk]:
    """Return asks as they cross; an answer given again is rare, and crosses as it is."""
    return [
        (
            ask.text,
            ask.vector,
            tuple([cid.binary for cid in ask.datasets]),
            ask.k,
            None if ask.options == PLAIN else ask.options,
            ask.shaping,
            ask.only,
        )
        if isinstance(ask, Ask)
        else ask
        for ask in asks
    ]


def crossed_asks(asks: Iterable[CrossingAsk]) -> list[Ask | Recall]:
    """Return what `crossing_asks` took apart."""
    manifests: dict[bytes, Cid] = {}
    return [
        ask
        if isinstance(ask, Recall)
        else Ask(
            text=ask[0],
            vector=ask[1],
            datasets=tuple([manifests.get(one) or manifests.setdefault(one, Cid(one)) for one in ask[2]]),
            k=ask[3],
            options=ask[4] or PLAIN,
            shaping=ask[5],
            only=ask[6],
        )
        for ask in asks
    ]


def crossing(answers: Iterable[Answer | VaultError]) -> list[Crossed]:
    """Return answers, and why there are none, as they cross."""
    return [
        (_crossing_passages(answer.found), answer.vector, answer.embed_s, answer.search_s, answer.matching)
        if isinstance(answer, Answer)
        else answer
        for answer in answers
    ]


def crossed(answers: Sequence[Crossed]) -> list[Answer | VaultError]:
    """Return what `crossing` took apart."""
    manifests: dict[bytes, Cid] = {}
    return [
        answer
        if isinstance(answer, VaultError)
        else Answer(
            found=_crossed_passages(answer[0], manifests),
            vector=answer[1],
            embed_s=answer[2],
            search_s=answer[3],
            matching=answer[4],
        )
        for answer in answers
    ]


def _crossing_passages(found: Iterable[Found]) -> list[Crossing]:
    """Return passages as they cross."""
    return [
        (
            one.manifest.binary,
            one.index,
            one.score,
            one.owner,
            one.commitment,
            one.proof,
            one.sent,
            one.shaping,
            one.words,
        )
        for one in found
    ]


def _crossed_passages(found: Iterable[Crossing], manifests: dict[bytes, Cid]) -> tuple[Found, ...]:
    """Return what `_crossing_passages` took apart.

    Args:
        manifests: those met before, so that each is made once.
    """
    return tuple(
        [
            Found(
                manifests.get(manifest) or manifests.setdefault(manifest, Cid(manifest)),
                index,
                score,
                owner,
                commitment,
                proof,
                sent,
                shaping,
                words,
            )
            for manifest, index, score, owner, commitment, proof, sent, shaping, words in found
        ]
    )
