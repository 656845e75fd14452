"""The launch digest covers all that it should, and the disk is what the kernel verifies."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.deploy.scripts import DAO, DEPLOY, ran, script
from tests.deploy.trees import tarred, tree

launch = script("snp/launch-digest")


def firmware(path: Path, *, kernel_hashes: bool = True) -> Path:
    """Write a firmware file with the tables that OVMF's AMD SEV build has: OvmfPkg/ResetVector, GUIDed structures."""

    def entry(guid: str, data: bytes) -> bytes:
        return data + struct.pack("<H", len(data) + 18) + uuid.UUID(guid).bytes_le

    sections = [(0x800000, 0x9000, 1), (0x80A000, 0x3000, 1), (0x80D000, 0x1000, 2), (0x80E000, 0x1000, 3)]
    if kernel_hashes:
        sections.append((0x80F000, 0x1000, 0x10))
    described = b"".join(struct.pack("<III", *section) for section in sections)
    metadata = b"ASEV" + struct.pack("<III", 16 + len(described), 1, len(sections)) + described
    size = 0x2000
    metadata_at = 0x100
    table = entry("dc886566-984a-4798-a75e-5585a7bf67cc", struct.pack("<I", size - metadata_at))
    if kernel_hashes:
        table += entry("7255371f-3a3b-4b04-927b-1da6efa8d454", struct.pack("<II", 0x80FC00, 0x400))
    table += entry("00f771de-1a7e-4fcb-890e-68c77e2fb44e", struct.pack("<I", 0x80B004))
    footer = struct.pack("<H", len(table) + 18) + uuid.UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le
    content = bytearray(size)
    content[metadata_at : metadata_at + len(metadata)] = metadata
    content[size - 32 - len(table) - 18 : size - 32] = table + footer
    path.write_bytes(content)
    return path


@pytest.fixture
def guest(tmp_path: Path) -> dict[str, Any]:
    pytest.importorskip("sevsnpmeasure", reason="needs sev-snp-measure: pip install 'coffer[tee]'")
    (tmp_path / "kernel").write_bytes(b"a kernel")
    disk = {"root_hash": "ab" * 32, "salt": "00" * 32, "data_blocks": 26}
    (tmp_path / "disk.json").write_text(json.dumps(disk))
    return {
        "--ovmf": firmware(tmp_path / "ovmf.fd"),
        "--kernel": tmp_path / "kernel",
        "--disk": tmp_path / "disk.json",
        "--vcpus": 4,
        "--vcpu-type": "EPYC-v4",
        "--dao": DAO,
        "--custodian": "c1.example:7440",
        "--storage": "/dns4/ipfs.example/tcp/5001",
        "--records": "postgresql+psycopg://coffer@db.example/coffer",
    }


def launched(guest: dict[str, Any], *more: str) -> subprocess.CompletedProcess[str]:
    return ran("snp/launch-digest", *(word for pair in guest.items() for word in pair), *more)


def test_the_launch_digest_is_that_of_the_command_line_it_prints(guest: dict[str, Any]) -> None:
    from sevsnpmeasure import guest as tool
    from sevsnpmeasure import vcpu_types
    from sevsnpmeasure.sev_mode import SevMode

    line = launched(guest, "--print-command-line").stdout.removesuffix("\n")
    measured = tool.calc_launch_digest(
        SevMode.SEV_SNP,
        4,
        vcpu_types.CPU_SIGS["EPYC-v4"],
        str(guest["--ovmf"]),
        str(guest["--kernel"]),
        "",
        line,
        0x1,
    )
    assert launched(guest).stdout.strip() == measured.hex()


SNP_CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "firmware": lambda guest: guest["--ovmf"].write_bytes(b"\x01" + guest["--ovmf"].read_bytes()[1:]),
    "kernel": lambda guest: guest["--kernel"].write_bytes(b"another kernel"),
    "root hash": lambda guest: guest["--disk"].write_text(guest["--disk"].read_text().replace("ab", "ac")),
    "processors": lambda guest: guest.update({"--vcpus": 5}),
    "type": lambda guest: guest.update({"--vcpu-type": "EPYC-Genoa"}),
    "features": lambda guest: guest.update({"--guest-features": "0x21"}),
    "DAO": lambda guest: guest.update({"--dao": DAO.replace("u", "v")}),
    "custodian": lambda guest: guest.update({"--custodian": "c2.example:7440"}),
    "storage": lambda guest: guest.update({"--storage": "/ip4/10.0.0.2/tcp/5001"}),
}


@pytest.mark.parametrize("change", SNP_CHANGES)
def test_one_change_changes_the_launch_digest(guest: dict[str, Any], change: str) -> None:
    before = launched(guest).stdout
    SNP_CHANGES[change](guest)
    after = launched(guest)
    assert after.returncode == 0, after.stderr
    assert re.fullmatch(r"[0-9a-f]{96}\n", before)
    assert after.stdout != before


def test_firmware_that_does_not_measure_the_kernel_is_refused(guest: dict[str, Any]) -> None:
    firmware(guest["--ovmf"], kernel_hashes=False)
    done = launched(guest)
    assert done.returncode == 1
    assert "hash" in done.stderr.lower()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--dao", "x init=/bin/sh"),
        ("--custodian", "a:1 init=/bin/sh"),
        ("--storage", "/ip4/1.2.3.4 init=/bin/sh"),
        ("--records", 'x"y'),
        ("--vcpus", 0),
    ],
)
def test_no_other_word_gets_onto_the_command_line(guest: dict[str, Any], option: str, value: object) -> None:
    done = launched({**guest, option: value})
    assert done.returncode == 1
    assert done.stdout == ""


@given(st.text(max_size=200))
def test_a_disk_that_is_not_described_is_refused(text: str) -> None:
    with pytest.raises(launch.Refused):
        launch.Disk.from_json(text)


def test_the_root_is_set_up_as_dm_verity_by_the_kernel_alone() -> None:
    disk = launch.Disk(root_hash="ab" * 32, salt="00" * 32, data_blocks=26)
    assert disk.table() == (
        f"root,,,ro,0 208 verity 1 /dev/vda /dev/vda 4096 4096 26 27 sha256 {'ab' * 32} {'00' * 32} "
        "1 panic_on_corruption"
    )


@pytest.mark.skipif(
    not (shutil.which("sqfstar") and shutil.which("veritysetup")), reason="needs squashfs-tools and cryptsetup-bin"
)
def test_two_disks_of_one_tree_are_the_same_and_verify(tmp_path: Path) -> None:
    packed = tarred(tree(tmp_path / "root"), tmp_path / "root.tar")
    told = []
    for name in ("one", "two"):
        done = subprocess.run(  # noqa: S603
            [str(DEPLOY / "snp/disk"), str(packed), str(tmp_path / name)], capture_output=True, text=True, check=True
        )
        told.append(launch.Disk.from_json(done.stdout))
    assert told[0] == told[1]
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    offset = f"--hash-offset={told[0].data_blocks * 4096}"
    verify = ["veritysetup", "verify", str(tmp_path / "one"), str(tmp_path / "one"), told[0].root_hash, offset]
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 0  # noqa: S603
    damaged = bytearray((tmp_path / "one").read_bytes())
    damaged[2000] ^= 1
    (tmp_path / "one").write_bytes(damaged)
    assert subprocess.run(verify, capture_output=True, check=False).returncode != 0  # noqa: S603


def test_the_guest_is_told_what_the_measured_command_line_says(guest: dict[str, Any]) -> None:
    """The part of the first process that reads the command line, over the one that is measured."""
    line = launched(
        {**guest, "--custodian": "c1.example:7440"}, "--custodian", "c2.example:7440", "--print-command-line"
    )
    text = (DEPLOY / "snp/start").read_text(encoding="utf-8")
    reading = text[text.index("dao=\n") : text.index("done\n") + len("done\n")]
    told = 'printf "%s\\n" "$dao" "$COFFER_CUSTODIANS" "$COFFER_STORAGE" "$COFFER_RECORDS"'
    program = f'set -euf; cat() {{ printf %s "$LINE"; }}; {reading} {told}'
    environment = {"LINE": line.stdout, "PATH": "/usr/bin:/bin"}
    shell = ["/bin/sh", "-c", program]
    done = subprocess.run(shell, env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    dao, custodians, storage, records = done.stdout.splitlines()
    assert (dao, storage, records) == (guest["--dao"], guest["--storage"], guest["--records"])
    assert json.loads(custodians) == ["c1.example:7440", "c2.example:7440"]
