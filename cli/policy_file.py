"""Reads a policy as a person writes it: YAML with the words of `cli.policy_words`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import typer

from cli.filters import filter_bytes
from cli.policy_words import LATEST, MONEY, WORDS, Section, Word
from cli.quantities import basis_points_from, seconds_from
from cli.strict_yaml import Mapping, Node, Sequence, Text, shown, tree_from
from rag.errors import RagError
from storage.cid import Cid
from storage.errors import StorageError
from vault.attribution import Attribution
from vault.codec import INTEGER_MAX
from vault.currency import CURRENCY
from vault.dataset import DatasetRef
from vault.errors import MalformedObject, VaultError
from vault.licensees import Licensees
from vault.output_rules import OutputRules, Redaction
from vault.permitted import ONLY_BYTES_MAX
from vault.policy import AcceptedTee, Policy
from vault.pricing import Tier
from vault.signing import address_from
from vault.voucher_rules import VoucherRules

MICRO = 10**6
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CURRENCY = re.compile(CURRENCY)
_MONEY = re.compile(MONEY)
_COUNT = re.compile(r"[0-9]{1,19}")
Found = TypeVar("Found")
Described = tuple[tuple[AcceptedTee, ...], tuple[Cid, ...]]


def policy_from_yaml(
    data: bytes,
    *,
    genesis: Cid,
    charter_treasury: bytes,
    at: int,
    resolve: Callable[[str], DatasetRef],
    enclave_file: Callable[[Path], Described],
) -> Policy:
    """Return the policy that a file describes, or raise `MalformedObject` naming line and key.

    Args:
        charter_treasury: the treasury where the file names none.
        at: UTC seconds; durations count from here.
        resolve: gives the dataset that a manifest's CID belongs to, pinned to that version.
        enclave_file: reads a file that `coffer enclave describe --json` wrote.
    """
    whole = _Keys("", tree_from(data), WORDS)
    price, limits, split = whole.section("price"), whole.section("limits"), whole.section("split")
    currency = price.read("currency", _currency)
    described = whole.each("enclaves", lambda text: enclave_file(Path(text)))
    return Policy(
        genesis=genesis,
        title=whole.read("title", str),
        datasets=tuple(_datasets(whole, resolve)),
        licensees=_licensees(whole.section("licensees")),
        currency=currency,
        price_per_query=price.read("per_query", lambda text: _money(text, currency)),
        price_per_passage=price.read("per_passage", lambda text: _money(text, currency)),
        k_max=limits.read("k", _count),
        queries_per_minute=limits.read("queries_per_minute", _count),
        passages_max=limits.read("passages", _count),
        corpus_bps=limits.read("corpus_share", basis_points_from),
        owner_bps=limits.read("owner_share", basis_points_from),
        tees=tuple(dict.fromkeys(tee for tees, _ in described for tee in tees)),
        configurations=tuple(dict.fromkeys(one for _, configurations in described for one in configurations)),
        output=_output(whole.section("output")),
        treasury=split.read("treasury", address_from) if split.has("treasury") else charter_treasury,
        operator=split.read("operator", address_from),
        treasury_bps=split.read("treasury_share", basis_points_from),
        operator_bps=split.read("operator_share", basis_points_from),
        attribution=split.read("attribution", _attribution),
        expires_at=whole.read("expires", lambda text: _expiry(text, at)),
        free_queries=price.read("free_queries", _count),
        tiers=tuple(_tiers(price, currency)),
        vouchers=_vouchers(whole.section("vouchers"), currency) if whole.has("vouchers") else None,
    )


class _Keys:
    """A mapping of the file beside the words that may stand in it."""

    def __init__(self, name: str, node: Node | None, words: Iterable[Word | Section]) -> None:
        self._name = name
        self._words = {word.key: word for word in words}
        if node is not None and not isinstance(node, Mapping):
            raise MalformedObject(f"line {node.line}: {name or 'the file'} holds keys with values: {_all(self._words)}")
        self._nodes = node.entries if node is not None else {}
        self._line = node.line if node is not None else 1
        for entry in self._nodes:
            if entry not in self._words:
                raise MalformedObject(f"line {self._nodes[entry].line}: {_unknown(name, entry, self._words)}")

    def section(self, entry: str) -> _Keys:
        """Return the keys of a section; those of one that may be left out, and was, have their defaults."""
        section = self._words[entry]
        if not isinstance(section, Section):
            raise TypeError(f"{entry} is no section")
        if entry not in self._nodes and section.is_needed:
            raise MalformedObject(f"{entry} is missing: {section.means}")
        return _Keys(entry, self._nodes.get(entry), section.words)

    def has(self, entry: str) -> bool:
        """Say whether a key stands in the file."""
        return entry in self._nodes

    def read(self, entry: str, parse: Callable[[str], Found]) -> Found:
        """Return the value of a key, or its default, as `parse` makes of it."""
        node, word = self._nodes.get(entry), self._words[entry]
        if node is None:
            default = word.default if isinstance(word, Word) else None
            if default is None:
                raise MalformedObject(f"line {self._line}: {self._path(entry)} is missing: {word.means}")
            node = Text(self._line, default)
        if not isinstance(node, Text):
            raise MalformedObject(f"line {node.line}: {self._path(entry)} is one value: {word.means}")
        return self.parsed(entry, node, parse)

    def each(self, entry: str, parse: Callable[[str], Found]) -> list[Found]:
        """Return what `parse` makes of each item of a list."""
        found = []
        for node in self.items(entry):
            if not isinstance(node, Text):
                raise MalformedObject(f"line {node.line}: an item of {self._path(entry)} is one value")
            found.append(self.parsed(entry, node, parse))
        return found

    def items(self, entry: str) -> tuple[Node, ...]:
        """Return the items of a list."""
        node, word = self._nodes.get(entry), self._words[entry]
        if node is None and isinstance(word, Word) and word.default is not None:
            return ()
        if not isinstance(node, Sequence):
            line = node.line if node is not None else self._line
            raise MalformedObject(f"line {line}: {self._path(entry)} is a list: {word.means}")
        return node.items

    def parsed(self, entry: str, node: Text, parse: Callable[[str], Found]) -> Found:
        """Return what `parse` makes of a value; whatever it raises names line and key."""
        try:
            return parse(node.value)
        except typer.BadParameter as error:
            raise MalformedObject(f"line {node.line}: {self._path(entry)}: {error.message}") from error
        except (VaultError, StorageError) as error:
            raise MalformedObject(f"line {node.line}: {self._path(entry)}: {error}") from error

    def _path(self, entry: str) -> str:
        return f"{self._name}.{entry}" if self._name else entry


def _datasets(whole: _Keys, resolve: Callable[[str], DatasetRef]) -> Iterable[DatasetRef]:
    words = (
        Word(key="dataset", means="the CID of one of its manifests", schema={}),
        Word(key="version", means=f"this or {LATEST}", schema={}, default="this"),
        Word(key="only", means="a filter in JSON: what may be found of it", schema={}, default=""),
    )
    for node in whole.items("datasets"):
        if isinstance(node, Text):
            yield replace(whole.parsed("datasets", node, resolve), only=b"")
            continue
        keys = _Keys("datasets", node, words)
        reference, is_latest = keys.read("dataset", resolve), keys.read("version", _is_latest)
        yield DatasetRef(
            owner=reference.owner,
            dataset=reference.dataset,
            manifest=None if is_latest else reference.manifest,
            only=keys.read("only", _only) if keys.has("only") else b"",
        )


def _tiers(price: _Keys, currency: str) -> Iterable[Tier]:
    words = (
        Word(key="after", means="answers that a licensee has had", schema={}),
        Word(key="per_query", means="micro-units, or an amount with its currency", schema={}),
        Word(key="per_passage", means="the same, of each passage that leaves", schema={}, default="0"),
    )
    for node in price.items("tiers"):
        keys = _Keys("price.tiers", node, words)
        yield Tier(
            after=keys.read("after", _count),
            price_per_query=keys.read("per_query", lambda text: _money(text, currency)),
            price_per_passage=keys.read("per_passage", lambda text: _money(text, currency)),
        )


def _vouchers(keys: _Keys, currency: str) -> VoucherRules:
    return VoucherRules(
        unpaid_max=keys.read("unpaid", lambda text: _money(text, currency)),
        unpaid_queries_max=keys.read("unpaid_queries", _count),
        chain_id=keys.read("chain", _count),
        token=keys.read("token", address_from),
        contract=keys.read("contract", address_from),
        withdraw_delay_least=keys.read("withdraw_delay", seconds_from),
    )


def _output(keys: _Keys) -> OutputRules:
    return OutputRules(
        owners_min=keys.read("owners", _count),
        score_decimals=keys.read("score_decimals", _count),
        counts_from=keys.read("counts_in", _count),
        redacts=tuple(sorted(keys.each("redact", _redaction))),
        probes_per_hour=keys.read("probes_per_hour", _count),
    )


def _licensees(keys: _Keys) -> Licensees:
    said = [entry for entry in ("addresses", "issuer", "anyone") if keys.has(entry)]
    if len(said) != 1:
        raise MalformedObject("licensees says one of addresses, issuer and anyone")
    if said == ["addresses"]:
        return Licensees.listed(keys.each("addresses", address_from))
    if said == ["issuer"]:
        return Licensees.credential(keys.read("issuer", address_from))
    keys.read("anyone", _who_pays)
    return Licensees.anyone()


def _only(written: str) -> bytes:
    """Return the canonical bytes of a filter in JSON."""
    try:
        only = filter_bytes(written)
    except RagError as error:
        raise MalformedObject(str(error)) from error
    if len(only) > ONLY_BYTES_MAX:
        raise MalformedObject(f"a policy's filter has at most {ONLY_BYTES_MAX} bytes, and this one {len(only)}")
    return only


def _is_latest(written: str) -> bool:
    if written not in ("this", LATEST):
        raise MalformedObject(f"{shown(written)} is neither this nor {LATEST}")
    return written == LATEST


def _who_pays(written: str) -> None:
    if written != "who-pays":
        raise MalformedObject(f"{shown(written)} is not who-pays")


def _currency(written: str) -> str:
    if not _CURRENCY.fullmatch(written):
        raise MalformedObject(f"{shown(written)} is not a currency; write 1 to 12 capitals or digits: USDC")
    return written


def _money(written: str, currency: str) -> int:
    """Return micro-units: a whole number is that already, an amount with its currency is a million of them each."""
    amount, _, unit = written.partition(" ")
    if not _MONEY.fullmatch(written) or (unit or currency) != currency or ("." in amount and not unit):
        raise MalformedObject(f"{shown(written)} is no price; write micro-units, 100, or an amount: 0.0001 {currency}")
    return int(Decimal(amount) * MICRO) if unit else int(amount)


def _count(written: str) -> int:
    value = int(written) if _COUNT.fullmatch(written) else -1
    if not 0 <= value <= INTEGER_MAX:
        raise MalformedObject(f"{shown(written)} is not a whole number")
    return value


def _redaction(written: str) -> Redaction:
    if written not in list(Redaction):
        raise MalformedObject(f"{shown(written)} cannot be redacted; there are {', '.join(Redaction)}")
    return Redaction(written)


def _attribution(written: str) -> Attribution:
    if written not in list(Attribution):
        raise MalformedObject(f"{shown(written)} is no way to split; there are {', '.join(Attribution)}")
    return Attribution(written)


def _expiry(written: str, at: int) -> int:
    if not _DAY.fullmatch(written):
        return at + seconds_from(written)
    try:
        return int(datetime.strptime(written, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise MalformedObject(f"there is no day {written}") from error


def _unknown(name: str, entry: str, words: Iterable[str]) -> str:
    words = list(words)
    near = get_close_matches(entry, words, n=1, cutoff=0.5)
    meant = f"; did you mean {near[0]}?" if near else f"; there are {_all(words)}"
    return f"{name or 'the file'} has no key {shown(entry)}{meant}"


def _all(words: Iterable[str]) -> str:
    return ", ".join(words)
