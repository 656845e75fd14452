"""A data key on paper: standard SLIP-39 lists, whole or refused, and never a word in what is said about them."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shamir_mnemonic import EncryptedMasterSecret, combine_mnemonics, split_ems
from shamir_mnemonic.wordlist import WORDLIST

from tests.people import seeded
from vault.errors import MalformedObject, VaultError, WrongKey
from vault.keys import SecretKey
from vault.paper import WORDS, key_from_paper, lists_needed, paper_shares, share_from_words

KEY = SecretKey(seeded("paper key"))
LISTS = paper_shares(KEY, shares=2, of=3, identifier=7)


def refusal(lists: Sequence[str], kind: type[VaultError], match: str) -> None:
    """Assert that the lists are refused, and that nobody who sees the traceback learns a word of them."""
    with pytest.raises(kind, match=match) as caught:
        key_from_paper(lists)
    error: BaseException | None = caught.value
    shown = "".join(traceback.format_exception(caught.value)[-1:])
    assert error is not None and error.__context__ is None and error.__cause__ is None
    assert not any(" ".join(pair) in shown for one in lists for pair in pairwise(one.split()))


@pytest.mark.parametrize("chosen", [*combinations(range(3), 2), (2, 0), (0, 1, 2)])
def test_any_two_of_three_rebuild_the_key(chosen: tuple[int, ...]) -> None:
    assert key_from_paper([LISTS[index] for index in chosen]) == KEY


def test_any_tool_that_knows_the_standard_rebuilds_the_key() -> None:
    assert combine_mnemonics(LISTS[:2]) == KEY.reveal()
    assert all(len(one.split()) == WORDS and set(one.split()) <= set(WORDLIST) for one in LISTS)


def test_lists_made_by_another_tool_are_read() -> None:
    secret = EncryptedMasterSecret.from_master_secret(KEY.reveal(), b"", 99, False, 1)
    lists = [share.mnemonic() for share in split_ems(1, [(3, 5)], secret)[0]]
    assert key_from_paper(lists[1:4]) == KEY


@pytest.mark.parametrize(("shares", "of"), [(1, 1), (3, 3), (2, 16), (16, 16)])
def test_counts_within_the_standard(shares: int, of: int) -> None:
    lists = paper_shares(KEY, shares=shares, of=of)
    assert (len(lists), lists_needed(share_from_words(lists[0], 1))) == (of, shares)
    assert key_from_paper(lists[-shares:]) == KEY


@pytest.mark.parametrize(("shares", "of"), [(0, 1), (2, 1), (1, 2), (2, 17), (-1, 3)])
def test_counts_without_sense_are_refused(shares: int, of: int) -> None:
    with pytest.raises(MalformedObject):
        paper_shares(KEY, shares=shares, of=of)


def test_typing_in_capitals_or_with_more_space_is_fine() -> None:
    assert key_from_paper([LISTS[0].upper(), "  " + LISTS[1].replace(" ", "\t ")]) == KEY


def swapped(words: str) -> str:
    first, second, *rest = words.split()[::-1]
    return " ".join([second, first, *rest][::-1])


@pytest.mark.parametrize(
    ("broken", "match"),
    [
        (LISTS[0].rpartition(" ")[0], "list 2 has another number of words"),
        (LISTS[0] + " " + LISTS[0].split()[0], "list 2 has another number of words"),
        ("", "list 2 has another number of words"),
        ("x" * 10_000, "list 2 has another number of words"),
        (LISTS[0].replace(LISTS[0].split()[4], "bitcoin", 1), "word 5 of list 2 is not among the words"),
        (" ".join([*LISTS[0].split()[:-1], "zero" if not LISTS[0].endswith("zero") else "year"]), "checksum of list 2"),
        (swapped(LISTS[0]), "checksum of list 2"),
    ],
)
def test_a_list_that_is_none_is_refused(broken: str, match: str) -> None:
    refusal([LISTS[1], broken], MalformedObject, match)


def test_too_few_lists_are_refused() -> None:
    refusal(LISTS[:1], WrongKey, "2 different lists of this backup are needed, and 1 came")
    refusal([LISTS[0], LISTS[0]], WrongKey, "2 different lists of this backup are needed, and 1 came")
    refusal([], MalformedObject, "lists of words are needed, not 0")
    refusal(LISTS * 6, MalformedObject, "lists of words are needed, not 18")


def test_lists_of_two_backups_are_refused() -> None:
    refusal([LISTS[0], paper_shares(KEY, shares=2, of=3, identifier=8)[1]], WrongKey, "list 2 is of another backup")
    refusal([LISTS[0], paper_shares(KEY, shares=3, of=3, identifier=7)[1]], WrongKey, "list 2 is of another backup")
    again = paper_shares(KEY, shares=2, of=3, identifier=7)
    refusal([LISTS[0], again[1]], WrongKey, "do not fit together")
    refusal([LISTS[0], again[0]], WrongKey, "has the place of another one")


def test_backups_of_other_things_are_refused() -> None:
    groups = EncryptedMasterSecret.from_master_secret(KEY.reveal(), b"", 7, True, 0)
    refusal([split_ems(1, [(1, 1), (1, 1)], groups)[0][0].mnemonic()], MalformedObject, "several groups")
    wallet = EncryptedMasterSecret.from_master_secret(bytes(16), b"", 7, True, 0)
    refusal([split_ems(1, [(1, 1)], wallet)[0][0].mnemonic()], MalformedObject, "another number of words")
    slow = EncryptedMasterSecret(7, True, 15, KEY.reveal())
    refusal([split_ems(1, [(1, 1)], slow)[0][0].mnemonic()], MalformedObject, "more work")


@given(st.lists(st.lists(st.sampled_from(WORDLIST), min_size=WORDS, max_size=WORDS).map(" ".join), max_size=4))
def test_random_words_are_no_key(lists: list[str]) -> None:
    with pytest.raises(VaultError):
        key_from_paper(lists)


@given(st.text(max_size=600))
def test_random_text_is_no_list(text: str) -> None:
    with pytest.raises(MalformedObject):
        share_from_words(text, 1)
