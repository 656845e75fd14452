"""A data key as words on paper: t of n lists, in the standard mnemonics of SLIP-39.

The key is SLIP-39's master secret, encrypted under the empty passphrase as the standard asks, so any tool that knows
the standard recombines the lists to the key's 32 bytes. A list of a 256-bit secret has 33 words and a checksum in them.

The words are the key: no message and no cause here carries one.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from vault.errors import MalformedObject, WrongKey
from vault.keys import KEY_BYTES, SHARES_MAX, SecretKey

WORDS = 33  # SLIP-39, section "Format of the share mnemonic", for a secret of 256 bits
LIST_CHARS_MAX = WORDS * 16  # the standard's words have at most 8 letters
ITERATION_EXPONENT = 0  # nothing is gained by stretching an empty passphrase
ITERATION_EXPONENT_MAX = 5  # of lists made elsewhere: about a second of work; the format's 15 would take minutes


def paper_shares(key: SecretKey, *, shares: int, of: int, identifier: int | None = None) -> list[str]:
    """Return `of` lists of words, any `shares` of which rebuild the key.

    Args:
        identifier: 15 bits that all lists of one backup share; random by default.
    Raises: `MalformedObject` where there are no such shares.
    """
    if not 1 <= shares <= of <= SHARES_MAX:
        raise MalformedObject(f"paper shares are 1 … {SHARES_MAX}, and no more are needed than are made")
    if shares == 1 and of > 1:
        raise MalformedObject("one of several lists would be the key itself on each; make one list, or ask for two")
    from shamir_mnemonic import EncryptedMasterSecret, split_ems

    number = secrets.randbits(15) if identifier is None else identifier
    secret = EncryptedMasterSecret.from_master_secret(key.reveal(), b"", number, True, ITERATION_EXPONENT)
    return [share.mnemonic() for share in split_ems(1, [(shares, of)], secret)[0]]


def share_from_words(words: str, number: int) -> Any:
    """Return one parsed list, or raise `MalformedObject` saying what is wrong with it, and never a word of it.

    Args:
        number: which list it is, for the message.
    """
    from shamir_mnemonic import MnemonicError, Share
    from shamir_mnemonic.wordlist import WORD_INDEX_MAP

    if len(words) > LIST_CHARS_MAX or len(words.split()) != WORDS:
        raise MalformedObject(f"list {number} has another number of words than the {WORDS} of a data key's")
    strangers = [place for place, word in enumerate(words.split(), 1) if word.lower() not in WORD_INDEX_MAP]
    if strangers:
        raise MalformedObject(f"word {strangers[0]} of list {number} is not among the words of SLIP-39")
    try:
        share = Share.from_mnemonic(words)
    except MnemonicError:
        share = None
    if share is None:
        raise MalformedObject(f"the checksum of list {number} is wrong: a word was mistaken for another, or misplaced")
    if share.iteration_exponent > ITERATION_EXPONENT_MAX:
        raise MalformedObject(f"list {number} asks for more work than any data key's; it is of something else")
    if share.group_count != 1 or len(share.value) != KEY_BYTES:
        raise MalformedObject(f"list {number} is of a backup in several groups, which is none of a data key")
    return share


def lists_needed(share: Any) -> int:
    """Return how many lists rebuild the key that this one is of."""
    return int(share.member_threshold)


def key_from_paper(lists: Sequence[str]) -> SecretKey:
    """Rebuild a key from lists of words of one backup; more than are needed are checked to be of it, and left aside.

    Raises: `MalformedObject` for a list that is none; `WrongKey` where they are too few or of different backups.
    """
    if not 1 <= len(lists) <= SHARES_MAX:
        raise MalformedObject(f"1 … {SHARES_MAX} lists of words are needed, not {len(lists)}")
    from shamir_mnemonic import MnemonicError, recover_ems
    from shamir_mnemonic.shamir import ShareGroup

    parsed = [share_from_words(words, number) for number, words in enumerate(lists, 1)]
    first = parsed[0]
    for number, share in enumerate(parsed, 1):
        if share.group_parameters() != first.group_parameters():
            raise WrongKey(f"list {number} is of another backup than list 1; bring lists of one backup")
    by_index: dict[int, Any] = {}
    for number, share in enumerate(parsed, 1):
        if by_index.setdefault(share.index, share).value != share.value:
            raise WrongKey(f"list {number} has the place of another one in the backup, and says otherwise")
    needed = lists_needed(first)
    if len(by_index) < needed:
        raise WrongKey(f"{needed} different lists of this backup are needed, and {len(by_index)} came")
    group = ShareGroup()
    for share in list(by_index.values())[:needed]:
        group.add(share)
    try:
        return SecretKey(recover_ems({0: group}).decrypt(b""))
    except MnemonicError:
        rebuilt = None
    if rebuilt is None:
        raise WrongKey("the lists do not fit together, though each is whole; one is of another backup")
    return rebuilt
