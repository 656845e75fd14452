"""Members as a person writes them: every slip is refused with a sentence that says where it is."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.people import CSV_BYTES_MAX, members_from
from vault.charter import MEMBERS_MAX
from vault.errors import MalformedObject
from vault.signing import address_text

ALICE, BOB, CAROL = (bytes([n]) * 20 for n in (0xA1, 0xB2, 0xC3))
A, B, C = (address_text(who) for who in (ALICE, BOB, CAROL))
BOTH = {ALICE: 3, BOB: 1}


def read(tmp_path: Path, text: str | bytes, *pairs: str) -> dict[bytes, int]:
    file = tmp_path / "members.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return members_from(pairs, file)


def said(tmp_path: Path, text: str | bytes, *pairs: str) -> str:
    """Return the sentence that a file is refused with."""
    with pytest.raises((typer.BadParameter, MalformedObject)) as caught:
        read(tmp_path, text, *pairs)
    return caught.value.message if isinstance(caught.value, typer.BadParameter) else str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"{A},3\n{B},1\n",
        f"{A},3\n{B},1",
        f"address,weight\n{A},3\n{B}\n",
        f" Address , Weight \n {A.lower()} , 3 \n{B.lower()} ,\n",
        f"\ufeffaddress,weight\r\n{A},3\r\n\r\n{B},1\r\n",
        f"\ufeff{A},3\r{B},1\r",
        f"# who votes\n\n  # as of May, all\naddress,weight\n{A},3\n,\n   \n#{C},9\n{B},1\n",
        f'"{A}","3"\n"{B}",1\n',
        f"{A},03\n{B},1\n",
    ],
    ids=["plain", "no last line end", "header", "spaces", "bom and crlf", "cr", "comments", "quotes", "leading zero"],
)
def test_a_file_of_members_is_read_however_a_spreadsheet_wrote_it(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == BOTH


def test_members_come_from_options_and_a_file_together(tmp_path: Path) -> None:
    assert members_from([f"{A}=3", B], None) == BOTH
    assert read(tmp_path, f"{B},1\n", f"{A}=3") == BOTH


def test_a_member_given_twice_is_refused_with_both_places(tmp_path: Path) -> None:
    sentence = said(tmp_path, f"# header\n{A},3\n\n{B},1\n{A.lower()},3\n")
    assert "line 2 of" in sentence
    assert "line 5 of" in sentence
    assert A in sentence
    sentence = said(tmp_path, f"{B},1\n", f"{A}=1", f"{B}=1")
    assert "--member 2" in sentence
    assert "line 1 of" in sentence


@pytest.mark.parametrize(
    "weight",
    [
        *("1_000", "1.5", "1.0", "1e18", "1E3", "-1", "+1", "0", "00", "0x10", "1 000", "one", "\u0661", "\u00b2"),
        *(str(2**256), "9" * 79, "1" * 5000, "'1"),
    ],
    ids=lambda weight: weight[:20],
)
def test_a_weight_is_a_whole_number_in_digits(tmp_path: Path, weight: str) -> None:
    sentence = said(tmp_path, f"{A},3\n{B},{weight}\n")
    assert "line 2 of" in sentence
    assert "whole number" in sentence
    assert len(sentence) < 400
    with pytest.raises(typer.BadParameter, match="--member 1"):
        members_from([f"{B}={weight}"], None)


def test_the_heaviest_weight_has_256_bits(tmp_path: Path) -> None:
    assert read(tmp_path, f"{A},{2**256 - 1}\n") == {ALICE: 2**256 - 1}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (f"{A},3\n{B},1,000\n", "line 2 of"),
        (f'{A},3\n{B},"1,000"\n', "line 2 of"),
        (f"{A};3\n", "line 1 of"),
        (f"weight,address\n3,{A}\n", "line 1 of"),
        (f"{A},3\naddress,weight\n", "line 2 of"),
        (f"{A},3\n\n{B[:-1]},1\n", "line 3 of"),
        (f"{A},3\n{A[:-1] + A[-1].swapcase()},1\n", "line 2 of"),
        (f'{A},3\n"{B},1\n{C},1\n', "line 2 of"),
        (f'{A},3\n{B},"1\n', "line 2 of"),
        (f"{A},3 # the chair\n", "line 1 of"),
        (f"{A},3\n,5\n", "line 2 of"),
        (f"{A},3\n\x00{B},1\n", "line 2 of"),
        (f"{A},3\n{'x' * 200_000}\n", "line 2 of"),
    ],
    ids=[
        *("separator", "quoted separator", "semicolon", "swapped header", "late header", "short address", "checksum"),
        *("open quote", "quote open to the end", "comment behind", "no address", "NUL", "long cell"),
    ],
)
def test_a_line_that_is_no_member_is_named(tmp_path: Path, text: str, where: str) -> None:
    assert where in said(tmp_path, text)


@pytest.mark.parametrize(
    "text", ["", "address,weight\n", "# nobody\n", f"{A},1\n".encode("utf-16"), b"\xff\xfe", b"a" * (CSV_BYTES_MAX + 1)]
)
def test_a_file_without_members_is_refused(tmp_path: Path, text: str | bytes) -> None:
    assert said(tmp_path, text)


def test_100_000_members_are_read_and_not_one_more(tmp_path: Path) -> None:
    lines = [f"0x{n.to_bytes(20, 'big').hex()},{n + 1}\n" for n in range(MEMBERS_MAX + 1)]
    members = read(tmp_path, "".join(lines[:-1]))
    assert members == {n.to_bytes(20, "big"): n + 1 for n in range(MEMBERS_MAX)}
    assert str(MEMBERS_MAX) in said(tmp_path, "".join(lines))


def test_the_largest_file_of_100_000_members_is_within_the_bound() -> None:
    line = f'"{A}","{2**256 - 1}"\r\n'
    assert len(line) * MEMBERS_MAX < CSV_BYTES_MAX


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.lists(st.sampled_from([A, B, ",", "\n", "\r\n", '"', "#", " ", "7", "address"])))
def test_arbitrary_files_are_members_or_refused_and_nothing_else(tmp_path: Path, given: bytes | list[str]) -> None:
    text = given if isinstance(given, bytes) else "".join(given)
    with suppress(typer.BadParameter, MalformedObject):
        assert all(len(who) == 20 and weight >= 1 for who, weight in read(tmp_path, text).items())
