"""Blacks out e-mail addresses, card numbers and phone numbers in texts that leave.

What is looked for is looked for in the text's *skeleton*: compatibility forms folded (Unicode NFKC), digits of every
script turned to ASCII, dashes, dots and spaces to one of each, and what is invisible left out. So full-width digits, a
zero-width space or a non-breaking hyphen hide nothing; where something is found, the characters it was made of are
replaced.

* Card numbers (ISO/IEC 7812): 13 to 19 digits, in groups or not, whose Luhn sum is a multiple of 10.
* E-mail addresses (RFC 5322, section 3.4.1): dot-atom or quoted local part, a domain of several labels, an address
  literal or `localhost`; also with spaces around the @, and written "name (at) example (dot) com".
* Phone numbers: international with + or 00 (ITU-T E.164, up to 15 digits); national with a trunk 0, a bracketed area
  code, the groups 3-3-4, 3-4-4, 3-3-3 or 5-5; and whatever digits follow a word such as "tel." or "phone".

It leans to blacking out too much: a long number that happens to be a Luhn number goes. It cannot find what is spelled
out in words, split between two passages, or shown as a picture.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from vault.output_rules import Redaction

MARKS: Final = {
    Redaction.CARD: "[card number]",
    Redaction.EMAIL: "[e-mail address]",
    Redaction.PHONE: "[phone number]",
}
WHOLE: Final = "[blacked out]"
TEXT_CHARS_MAX: Final = 1 << 15  # passages are far shorter; what takes longer is not worth its time
ROUNDS_MAX: Final = 8  # what stands on both sides of a mark may make up something new
Span = tuple[int, int]

_ATOM: Final = r"\w!#$%&'*+/=?^`{|}~.\-"  # RFC 5322 atext and its dots, with the letters of RFC 6531
_LOCAL = rf'(?:(?<![{_ATOM}])[{_ATOM}]++|"[^"\r\n]{{1,64}}")'
_AT = r"(?:[ \t]?+@[ \t]?+|[ \t]?+[\[({<][ \t]?+(?:at|@)[ \t]?+[\])}>][ \t]?+)"
_DOT = r"(?:\.|[ \t]?+[\[({<][ \t]?+(?:dot|\.)[ \t]?+[\])}>][ \t]?+|[ \t]\.[ \t])"
_LABEL = r"\w(?:[\w-]{0,61}\w)?+"
_DOMAIN = rf"(?:{_LABEL}(?:{_DOT}{_LABEL})++|\[(?:IPv6:)?[0-9A-Fa-f.:]{{3,45}}\]|localhost\b)"
_SPOKEN = (  # as people write it to hide it; with a plain dot it would be "meet me at example.com"
    r"[ \t]+at[ \t]+[a-z0-9-]{1,63}(?:(?:\.|[ \t]+dot[ \t]+)[a-z0-9-]{1,63}){0,3}?[ \t]+dot[ \t]+"
    r"(?:com|org|net|edu|gov|int|io|info|biz|app|dev|co|eu|uk|de|fr|es|it|nl|pl|se|no|ch|at|us|ca|au|in|jp|cn|br|ru)\b"
)
_EMAIL = re.compile(rf"(?i){_LOCAL}{_AT}{_DOMAIN}")
_EMAIL_SPOKEN = re.compile(rf"(?i){_LOCAL}{_SPOKEN}")
_SAYS_AT = re.compile(r"(?i)@|[\[({<][ \t]?at[ \t]?[\])}>]")

_GAP = r"[ \t\r\n./-]"
_CARD = re.compile(rf"(?<!\d)\d(?:{_GAP}{{0,3}}+\d)*+")
_CARD_DIGITS = range(13, 20)
_ISSUER = re.compile(r"4|5[0-8]|2[2-7]|3[0-9]|6")  # first digits of payment cards, for numbers in odd groups
_RUN_GROUPS_MAX = 400  # of one run of numbers: a table of them is cut into pieces, not tried in all its ways

_SEP = r"[ \t./-]{0,3}"
_NUMBER = re.compile(r"[\d+(](?=(?:[ \t./()-]{0,3}\d){5})")  # where a phone number may begin
_PHONE = re.compile(
    rf"""(?x)
    (?!\d{{1,2}}[./-]\d{{1,2}}[./-](?:\d{{4}}|\d{{2}})(?![./-]?\d))                      # but not 01.02.2026
    (?:
        (?:\+|00[ ]?|\(\+|\(00)[ ]?[1-9](?:[ \t./()-]{{0,3}}\d){{6,14}}                  # international
      | (?:\d{{1,3}}{_SEP})?\(\d{{1,5}}\){_SEP}\d(?:{_SEP}\d){{4,11}}                  # (030) 90 18 20
      | 0[1-9]\d{{0,4}}[ ]?[/.-]?[ ]?\d{{2,}}(?:[ ./-]{{1,2}}\d{{2,}}){{1,4}}         # 020 7946 0958, 06 12 34 56 78
      | 0[1-9]\d{{0,4}}[ ]?[/.-][ ]?\d{{5,9}} | 0[1-9]\d{{1,3}}[ ]\d{{6,8}}           # 0171/1234567
      | 0[1-9]\d{{8,9}}                                                              # 02079460958
      | (?:1[ .-])?[2-9]\d{{2}}[ .-]\d{{3}}[ .-]\d{{4}}                               # 415-555-2671
      | [2-9]\d{{2}}[2-9]\d{{6}}                                                     # 4155552671
      | 1[3-9]\d[ .-]\d{{4}}[ .-]\d{{4}}                                             # 138 1234 5678
      | [6-9]\d{{2}}[ .-]\d{{3}}[ .-]\d{{3}}                                         # 612 345 678
      | [6-9]\d{{4}}[ .-]\d{{5}}                                                     # 98765 43210
    )(?!\d|[.-]\d)
    """
)
_PHONE_NAMED = re.compile(r"[(+]{0,2}\d(?:[ \t./()-]{0,3}\d){5,14}")
_SAYS_PHONE = re.compile(
    r"(?i)\b(?:tele(?:phone|fon)|tel|phone|ph|fax|mobile?|mob|cell|handy|call|whatsapp|sms|t[ée]l)"
    r"\b[ \t]*[.:#]?[ \t]*(?:n(?:o|r|um|umber)?[.:]?[ \t]*)?\Z"
)
_NAME_CHARS_MAX = 30
_AFTER_NUMBER = re.compile(r"\d[./-]\Z")
_PHONE_DIGITS_MIN = 6


def redacted(text: str, rules: Iterable[Redaction]) -> str:
    """Return the text with everything of these kinds replaced by its mark; again, it stays the same.

    A text of more than `TEXT_CHARS_MAX`, or one made so that it never ends, is blacked out whole.
    """
    wanted = [rule for rule in Redaction if rule in set(rules)]
    for _ in range(ROUNDS_MAX):
        spans = _found(text, wanted) if len(text) <= TEXT_CHARS_MAX else [((0, len(text)), WHOLE)]
        if not spans:
            return text
        pieces, end = [], 0
        for (first, after), mark in spans:
            pieces += [text[end:first], mark]
            end = after
        text = "".join(pieces) + text[end:]
    return WHOLE


def _found(text: str, rules: Sequence[Redaction]) -> list[tuple[Span, str]]:
    """Return what is to be replaced, in order and without overlaps; of two that overlap, the rule named first wins."""
    plain = text if text.isascii() else text.translate(_FOLDED)
    digits = sum(map(plain.count, "0123456789"))
    found = [(span, MARKS[rule]) for rule in rules for span in _spans(plain, rule, digits)]
    if not found:
        return []
    if plain is not text:
        origin = [at for at, char in enumerate(text) for _ in _FOLDED[ord(char)]]
        found = [((origin[first], origin[after - 1] + 1), mark) for (first, after), mark in found]
    kept: list[tuple[Span, str]] = []
    for (first, after), mark in sorted(found, key=lambda item: item[0][0]):  # stable: rules stay in their order
        if kept and first < kept[-1][0][1]:
            (start, end), known = kept[-1]
            kept[-1] = ((start, max(end, after)), known)
        else:
            kept.append(((first, after), mark))
    return kept


def _spans(plain: str, rule: Redaction, digits: int) -> Iterator[Span]:
    match rule:
        case Redaction.CARD:
            if digits >= _CARD_DIGITS.start:
                yield from _cards(plain)
        case Redaction.EMAIL:
            if _SAYS_AT.search(plain):
                yield from (match.span() for match in _EMAIL.finditer(plain))
            if " dot " in plain.casefold():
                yield from (match.span() for match in _EMAIL_SPOKEN.finditer(plain))
        case Redaction.PHONE:
            if digits >= _PHONE_DIGITS_MIN:
                yield from _phones(plain)


def _phones(plain: str) -> Iterator[Span]:
    """Yield phone numbers, from the left; where one begins inside another, the first one's span."""
    end = 0
    for number in _NUMBER.finditer(plain):
        at = number.start()
        if at < end:
            continue
        match = None
        if _SAYS_PHONE.search(plain, max(0, at - _NAME_CHARS_MAX), at):
            match = _PHONE_NAMED.match(plain, at)
        before = plain[max(0, at - 2) : at]
        if match is None and not (before[-1:].isalnum() or _AFTER_NUMBER.match(before)):
            match = _PHONE.match(plain, at)
        if match is not None:
            end = match.end()
            yield match.span()


def _cards(plain: str) -> Iterator[Span]:
    """Yield card numbers: of every run of digits, the longest stretches of whole groups that are Luhn numbers."""
    for run in _CARD.finditer(plain):
        if sum(char.isdigit() for char in run[0]) < _CARD_DIGITS.start:
            continue
        groups = [(run.start() + group.start(), group[0]) for group in re.finditer(r"\d+", run[0])]
        for first in range(0, len(groups), _RUN_GROUPS_MAX):  # pieces overlap by the most groups that a card has
            piece = groups[first : first + _RUN_GROUPS_MAX + _CARD_DIGITS.stop]
            yield from _cards_among(piece)


def _cards_among(groups: Sequence[tuple[int, str]]) -> Iterator[Span]:
    at = 0
    while at < len(groups):
        ends = [end for end in _ends(groups, at) if _is_card([digits for _, digits in groups[at:end]])]
        if not ends:
            at += 1
            continue
        last, digits = groups[ends[-1] - 1]
        yield groups[at][0], last + len(digits)
        at = ends[-1]


def _ends(groups: Sequence[tuple[int, str]], first: int) -> Iterator[int]:
    """Yield where a stretch of groups from `first` may end so that it has a card's number of digits."""
    digits = 0
    for end in range(first, min(len(groups), first + _CARD_DIGITS.stop)):
        digits += len(groups[end][1])
        if digits >= _CARD_DIGITS.stop:
            return
        if digits in _CARD_DIGITS:
            yield end + 1


def _is_card(groups: Sequence[str]) -> bool:
    number = "".join(groups)
    is_usual = all(len(group) >= 3 for group in groups[:-1])  # as printed on a card; other groups may be a table
    is_spread = len({len(group) for group in groups[:-1]}) == 1 and _ISSUER.match(number) is not None
    return (is_usual or is_spread) and len(set(number)) > 1 and is_luhn(number)


def is_luhn(number: str) -> bool:
    """Say whether ASCII digits satisfy the check of ISO/IEC 7812-1, annex B."""
    doubled = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    values = [int(digit) for digit in reversed(number)]
    return (sum(values[::2]) + sum(doubled[value] for value in values[1::2])) % 10 == 0


class _Folded(dict[int, str]):
    """What each character is in a skeleton, by code point; worked out when first met."""

    def __missing__(self, point: int) -> str:
        folded = self[point] = _fold(chr(point))
        return folded


def _fold(char: str) -> str:
    """Return what a character looks like in ASCII, as far as addresses and numbers go; nothing if it is invisible."""
    category = unicodedata.category(char)
    if category in ("Cf", "Cc", "Mn", "Me", "Cn") and char not in "\t\n\r":
        return ""
    if char in _INVISIBLE:
        return ""
    if category == "Pd" or char in "\u2212\u2043\u30fc":
        return "-"
    if category in ("Zs", "Zl", "Zp"):
        return " "
    if (digit := unicodedata.digit(char, None)) is not None:
        return str(digit)
    if char in _DOTS:
        return "."
    if char in _ATS:
        return "@"
    normal = unicodedata.normalize("NFKC", char)
    return normal if normal == char or len(normal) != 1 else _FOLDED[ord(normal)]


_INVISIBLE = "\u115f\u1160\u3164\uffa0\u2800"  # letters and a pattern that are drawn as nothing
_DOTS = "\u3002\uff0e\uff61\u2024\u00b7\u2219\u22c5\u30fb\ufe52"
_ATS = "\uff20\ufe6b"
_FOLDED = _Folded()
