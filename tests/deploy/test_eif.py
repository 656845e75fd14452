"""Registers of an enclave image are recomputed as its published format says."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import struct
import zlib
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.deploy.scripts import ran, script

eif = script("nitro/eif-pcrs")


def image(*sections: tuple[int, bytes], version: int = 4, **header: int) -> bytes:
    """Write an enclave image by hand, from the published format: a header, then sections; all big-endian."""
    body, offsets, sizes = b"", [0] * 32, [0] * 32
    for number, (kind, content) in enumerate(sections):
        offsets[number], sizes[number] = 548 + len(body), len(content)
        body += struct.pack(">HHQ", kind, 0, len(content)) + content
    told = struct.pack(">4sHHQQHH", b".eif", version, 0, 1 << 30, 2, 0, header.get("count", len(sections)))
    told += struct.pack(">32Q", *offsets) + struct.pack(">32Q", *sizes) + struct.pack(">I", 0)
    checksum = header.get("checksum", zlib.crc32(body, zlib.crc32(told)))
    return told + struct.pack(">I", checksum) + body


def register(content: bytes) -> str:
    """Return what the security module's register holds after one extension from zero."""
    return hashlib.sha384(bytes(48) + hashlib.sha384(content).digest()).hexdigest()


PARTS = ((1, b"kernel"), (2, b"reboot=k"), (5, b'{"ImageName":"x"}'), (3, b"init"), (3, b"app"), (3, b"data"))


def registers(content: bytes) -> dict[str, str]:
    found: dict[str, str] = eif.registers(io.BytesIO(content), len(content))
    return found


def test_registers_are_those_that_the_format_says() -> None:
    assert registers(image(*PARTS)) == {
        "PCR0": register(b"kernelreboot=kinitappdata"),
        "PCR1": register(b"kernelreboot=kinit"),
        "PCR2": register(b"appdata"),
    }


def test_metadata_and_versions_before_it_count_for_nothing() -> None:
    older = image(*(part for part in PARTS if part[0] != 5), version=3)
    assert registers(older) == registers(image(*PARTS))


def test_a_signed_image_has_the_register_of_its_certificate() -> None:
    der = b"not really a certificate, but its bytes"
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"
    section = cbor2.dumps([{"signing_certificate": list(pem), "signature": [1, 2]}])
    assert registers(image(*PARTS, (4, section)))["PCR8"] == register(der)


@pytest.mark.parametrize("part", range(len(PARTS)))
def test_one_change_in_a_measured_part_changes_the_image_register(part: int) -> None:
    kind, content = PARTS[part]
    changed = registers(image(*PARTS[:part], (kind, content + b"!"), *PARTS[part + 1 :]))
    assert (changed["PCR0"] != registers(image(*PARTS))["PCR0"]) == (kind != 5)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        image(*PARTS)[:-1],
        image(*PARTS) + b"\0",
        image(*PARTS)[:600],
        image(*PARTS, checksum=1),
        image(*PARTS, count=5),
        image(*PARTS, version=5),
        image(*PARTS[1:]),
        image(*PARTS, (1, b"second kernel")),
        image(*PARTS, (6, b"")),
        image(*PARTS, (4, b"\xff")),
        b".elf" + image(*PARTS)[4:],
        image(*PARTS[:3]),
    ],
    ids=["empty", "cut", "more", "short", "checksum", "count", "version", "no kernel", "two kernels", "unknown",
         "signature", "magic", "no disk"],
)  # fmt: skip
def test_what_is_no_enclave_image_is_refused(content: bytes) -> None:
    with pytest.raises(eif.Refused):
        registers(content)


@given(st.integers(0, 547), st.binary(min_size=1, max_size=40))
def test_a_damaged_image_is_refused_or_the_same(place: int, noise: bytes) -> None:
    whole = image(*PARTS)
    damaged = whole[:place] + noise + whole[place + len(noise) :]
    with contextlib.suppress(eif.Refused):
        assert registers(damaged) == registers(whole)


def test_a_file_is_measured_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "x.eif").write_bytes(image(*PARTS))
    assert json.loads(ran("nitro/eif-pcrs", tmp_path / "x.eif").stdout) == registers(image(*PARTS))
