"""What is blacked out of texts that leave, however it is written, and what is left alone."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enclave.redaction import MARKS, ROUNDS_MAX, TEXT_CHARS_MAX, WHOLE, is_luhn, redacted
from vault.output_rules import Redaction

ALL = tuple(Redaction)
CARD, EMAIL, PHONE = (MARKS[kind] for kind in (Redaction.CARD, Redaction.EMAIL, Redaction.PHONE))
HOSTILE_S = 2.0

CARDS = [  # test numbers that payment networks publish
    "4111111111111111",
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "4111.1111.1111.1111",
    "5555 5555 5555 4444",
    "3782 822463 10005",
    "6011000990139424",
    "3056 9309 0259 04",
    "4222222222222",
    "6304 0000 0000 0000 000",
    "4111 1111\n1111 1111",
    "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
    "41 11 11 11 11 11 11 11",
    "\uff14\uff11\uff11\uff11 \uff11\uff11\uff11\uff11 \uff11\uff11\uff11\uff11 \uff11\uff11\uff11\uff11",
    "4111\u200b1111\u200d1111\u20601111",
    "4111\u00a01111\u20091111\u30001111",
    "4111\u20111111\u20131111\u22121111",
    "\u0664\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661",
]
EMAILS = [
    "ann@example.com",
    "ann.o'neil+news@mail.example.co.uk",
    '"ann lee"@example.com',
    "root@localhost",
    "ann@[192.168.2.1]",
    "ann@[IPv6:2001:db8::1]",
    "j\u00fcrgen@m\u00fcnchen.example",
    "\u0430nn@example.com",  # a Cyrillic a
    "ann @ example.com",
    "ann@ example.com",
    "ann (at) example.com",
    "ann [at] example [dot] com",
    "ann(at)example(dot)com",
    "ann {at} example.com",
    "ann at example dot com",
    "ANN AT EXAMPLE DOT COM",
    "ann\uff20example\uff0ecom",
    "a\u200bnn@exam\u00adple.c\u2060om",
    "ann@example\u3002com",
    "\u202eann@example.com",
]
PHONES = [
    "+49 30 901820",
    "+442079460958",
    "+1 (415) 555-2671",
    "+1.415.555.2671",
    "0044 20 7946 0958",
    "00 44 20 7946 0958",
    "(415) 555-2671",
    "415-555-2671",
    "415.555.2671",
    "4155552671",
    "1-800-555-0199",
    "020 7946 0958",
    "02079460958",
    "06 12 34 56 78",
    "06.12.34.56.78",
    "0171/1234567",
    "030 / 901820",
    "(030) 901820",
    "+44 (0)20 7946 0958",
    "044 668 18 00",
    "03-1234-5678",
    "138 1234 5678",
    "98765 43210",
    "612 345 678",
    "\uff0b\uff14\uff14 \uff12\uff10 7946 0958",
    "+44\u200b20\u200b7946\u200b0958",
    "+44\u201120\u20117946\u20110958",
    "\u0660\u0662\u0660 \u0667\u0669\u0664\u0666 \u0660\u0669\u0665\u0668",
]
NAMED_PHONES = ["tel: 555-1234", "Phone 555 1234", "call 555.0123", "Fax no. 5550123", "t\u00e9l. 55 50 12 3"]
LEFT_ALONE = [
    "",
    "on 2024-01-15 10:00:00",
    "from 01.02.2026 to 03/04/2026",
    "at 192.168.100.200",
    "time 1700000000",
    "3.14159265358979",
    "version 1.2.3.4",
    "ISBN 978-0-306-40615-7",
    "pages 100-200",
    "0x1234567890abcdef",
    "4111111111111112",  # no Luhn number
    "0000 0000 0000 0000",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
    "a @decorator on line 3",
    "the matrix product a@b",
    "look at this dot",
    "meet me at example.com",
    "\u00dcber \u201cquotes\u201d \u2013 and \u4e2d\u6587 \U0001f600",
]


@pytest.mark.parametrize(
    ("text", "mark"),
    [(text, CARD) for text in CARDS] + [(text, EMAIL) for text in EMAILS] + [(text, PHONE) for text in PHONES],
    ids=ascii,
)
def test_it_is_found_alone_and_between_words(text: str, mark: str) -> None:
    assert redacted(text, ALL).strip("\u202e") == mark
    assert redacted(f"write to {text} today", ALL).replace("\u202e", "") == f"write to {mark} today"
    assert redacted(f"\u00fcber {text}, \u00fcber", ALL).replace("\u202e", "") == f"\u00fcber {mark}, \u00fcber"


@pytest.mark.parametrize("text", NAMED_PHONES, ids=ascii)
def test_any_number_after_a_word_for_phone_is_one(text: str) -> None:
    assert redacted(text, ALL).endswith(PHONE)
    assert not any(char.isdigit() for char in redacted(text, ALL))


@pytest.mark.parametrize("text", LEFT_ALONE, ids=ascii)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert redacted(text, ALL) == text


@pytest.mark.parametrize(("kind", "texts"), [("card", CARDS), ("email", EMAILS), ("phone", PHONES)])
def test_what_the_policy_does_not_name_stays(kind: str, texts: list[str]) -> None:
    others = tuple(rule for rule in Redaction if rule != kind)
    assert MARKS[Redaction(kind)] not in redacted(" ; ".join(texts), others)
    assert redacted(texts[0], ()) == texts[0]


def test_several_in_one_text_go_and_what_is_between_stays() -> None:
    text = "a@b.example, c@d.example; 4111111111111111 or +49 30 901820."
    assert redacted(text, ALL) == f"{EMAIL}, {EMAIL}; {CARD} or {PHONE}."


def with_check_digit(digits: str) -> str:
    return next(digits + check for check in "0123456789" if is_luhn(digits + check))


NUMBERS = st.text("0123456789", min_size=12, max_size=18).map(with_check_digit).filter(lambda n: len(set(n)) > 1)


@given(number=NUMBERS)
def test_every_luhn_number_of_a_cards_length_is_found(number: str) -> None:
    assert redacted(number, [Redaction.CARD]) == CARD
    grouped = " ".join(number[at : at + 4] for at in range(0, len(number), 4))
    assert not any(char.isdigit() for char in redacted(grouped, [Redaction.CARD]))


@given(number=NUMBERS, at=st.integers(0, 17))
def test_one_digit_changed_is_no_card(number: str, at: int) -> None:
    at %= len(number)
    wrong = number[:at] + str((int(number[at]) + 1) % 10) + number[at + 1 :]
    assert not is_luhn(wrong)


INVISIBLE = st.sampled_from(["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\ufe0f", "\u034f", "\u202e"])


@given(
    name=st.text("abcdefghij.", min_size=1, max_size=12).filter(lambda name: name.strip(".") == name),
    host=st.text("klmnop", min_size=1, max_size=10),
    hidden=st.lists(st.tuples(st.integers(0, 40), INVISIBLE), max_size=6),
    wide=st.sets(st.integers(0, 40)),
)
def test_what_is_invisible_or_wide_hides_no_address(
    name: str, host: str, hidden: list[tuple[int, str]], wide: set[int]
) -> None:
    address = f"{name}@{host}.example"
    written = "".join(chr(ord(char) + 0xFEE0) if at in wide else char for at, char in enumerate(address))
    for at, char in hidden:
        at = 1 + at % (len(written) - 1)
        written = written[:at] + char + written[at:]
    assert redacted(written, [Redaction.EMAIL]) == EMAIL


@given(text=st.text(st.sampled_from("a1234567890 .-+()@[]/,:\n\u200b\uff11\u0301tel") | st.characters(), max_size=80))
@example("12345 [card number] 6789012345678")
def test_again_it_stays_the_same_and_nothing_raises(text: str) -> None:
    once = redacted(text, ALL)
    assert redacted(once, ALL) == once


@pytest.mark.parametrize(
    "piece",
    ["a", "1 ", "4 ", "@", "a.", "(", "1", "at ", "a@", "+1 ", '"', '"a', "0-", " at a dot", "(1)", "a@b.", "x at a.b",
     " ", "4111-", "tel 1(", "\u200b", "\uff11", "\ufdfa", "0 1", "1-2 "],
    ids=ascii,
)  # fmt: skip
def test_hostile_texts_take_no_time(piece: str) -> None:
    text = (piece * TEXT_CHARS_MAX)[:TEXT_CHARS_MAX]
    began = time.perf_counter()
    redacted(text, ALL)
    assert time.perf_counter() - began < HOSTILE_S


def test_a_text_too_long_to_look_through_goes_whole() -> None:
    assert redacted("a" * (TEXT_CHARS_MAX + 1), ALL) == WHOLE
    assert redacted("a" * TEXT_CHARS_MAX, ALL) == "a" * TEXT_CHARS_MAX
    assert ROUNDS_MAX >= 2
