"""Asking the kernel for TDX and SEV-SNP evidence, against its documented behavior."""

from __future__ import annotations

import errno
import os
import resource
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.attestation.attesters import AttesterUnavailable
from enclave.attestation.attesters.configfs_tsm import (
    BLOB_BYTES_MAX,
    PRIVILEGE_LEVEL_MAX,
    SEV_GUEST,
    TDX_GUEST,
    ConfigfsTsm,
    SystemFiles,
    TsmReport,
    available,
)
from enclave.attestation.errors import EvidenceMalformed
from enclave.attestation.snp import verified_snp
from enclave.attestation.snp_table import ENTRIES_MAX, TABLE_BYTES_MAX, certificates_for
from tests.enclave.attestation.amd import VCEK_GUEST, VLEK_GUEST, Guest, pinned
from tests.enclave.attestation.snp_tables import ARK, ASK, VCEK, VLEK, moved, table, whole_table
from tests.enclave.attestation.tsm_kernel import Blobs, TsmKernel, refuse
from tests.people import NOW, seeded
from vault.errors import ServiceUnavailable

ROOT = Path("/sys/kernel/config/tsm/report")
DATA = seeded("report data", 64)


def asked(kernel: TsmKernel, *, privilege_level: int | None = None, data: bytes = DATA) -> TsmReport:
    return ConfigfsTsm(ROOT, name="coffer", privilege_level=privilege_level, files=kernel).quote(data)


class TestAsking:
    def test_evidence_covers_the_given_bytes(self) -> None:
        kernel = TsmKernel(ROOT, new_report=lambda inblob, level: (b"report over " + inblob, b"table", b""))
        assert asked(kernel) == TsmReport(
            provider=SEV_GUEST, outblob=b"report over " + DATA, auxblob=b"table", manifestblob=b""
        )
        assert not kernel.entries

    def test_tdx_has_neither_table_nor_privilege_levels(self) -> None:
        kernel = TsmKernel(ROOT, provider=TDX_GUEST, visible=())
        report = asked(kernel)
        assert (report.provider, report.auxblob, report.manifestblob) == (TDX_GUEST, b"", b"")
        with pytest.raises(AttesterUnavailable, match="no privilege levels"):
            asked(kernel, privilege_level=0)
        assert not kernel.entries

    def test_a_manifest_is_read_where_there_is_one(self) -> None:
        kernel = TsmKernel(ROOT, new_report=lambda *_: (b"o", b"", b"m"), visible=("auxblob", "manifestblob"))
        assert asked(kernel).manifestblob == b"m"

    @pytest.mark.parametrize("level", range(PRIVILEGE_LEVEL_MAX + 1))
    def test_a_privilege_level_is_asked_for(self, level: int) -> None:
        kernel = TsmKernel(ROOT, new_report=lambda inblob, asked_for: (bytes([asked_for]) + inblob, b"", b""))
        assert asked(kernel, privilege_level=level).outblob == bytes([level]) + DATA

    def test_a_level_below_the_floor_is_refused(self) -> None:
        kernel = TsmKernel(ROOT, floor=2)
        with pytest.raises(AttesterUnavailable, match="privilege level"):
            asked(kernel, privilege_level=1)
        assert not kernel.entries

    def test_one_instance_asks_again_and_again(self) -> None:
        kernel = TsmKernel(ROOT)
        tsm = ConfigfsTsm(ROOT, name="coffer", files=kernel)
        assert [tsm.quote(data).outblob for data in (DATA, DATA[::-1])] == [DATA[::-1], DATA]

    def test_requests_of_many_threads_wait_for_one_another(self) -> None:
        arrived, answers = threading.Event(), []

        class Watched(TsmKernel):
            def mkdir(self, path: Path) -> None:
                if self.entries:
                    arrived.set()
                super().mkdir(path)

        def second_asks(inblob: bytes, _: int) -> Blobs:
            if not others:
                others.append(threading.Thread(target=lambda: answers.append(tsm.quote(DATA[::-1]).outblob)))
                others[0].start()
                assert not arrived.wait(0.2)
            return inblob, b"", b""

        others: list[threading.Thread] = []
        tsm = ConfigfsTsm(ROOT, name="coffer", files=Watched(ROOT, new_report=second_asks))
        answers.append(tsm.quote(DATA).outblob)
        others[0].join()
        assert answers == [DATA, DATA[::-1]]

    def test_unavailable_is_a_service_that_may_come_back(self) -> None:
        assert issubclass(AttesterUnavailable, ServiceUnavailable)

    @pytest.mark.parametrize("length", [0, 63, 65])
    def test_only_64_bytes_are_asked_about(self, length: int) -> None:
        with pytest.raises(ValueError, match="64 bytes"):
            asked(TsmKernel(ROOT), data=bytes(length))

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a/"])
    def test_a_name_is_that_of_one_folder(self, name: str) -> None:
        with pytest.raises(ValueError, match="name"):
            ConfigfsTsm(ROOT, name=name)

    @pytest.mark.parametrize("level", [-1, PRIVILEGE_LEVEL_MAX + 1])
    def test_a_level_no_hardware_has_is_misuse(self, level: int) -> None:
        with pytest.raises(ValueError, match="privilege_level"):
            ConfigfsTsm(ROOT, name="coffer", privilege_level=level)


class TestOthers:
    """Whoever else writes to our folder, the evidence would cover their bytes."""

    @pytest.mark.parametrize("attribute", ["provider", "outblob", "auxblob"])
    def test_a_write_between_ours_and_the_answer_is_noticed(self, attribute: str) -> None:
        kernel = TsmKernel(ROOT)

        def write(read: str) -> None:
            if read == attribute:
                kernel.write(ROOT / "coffer" / "inblob", seeded("theirs", 64))

        kernel.before_read = write
        with pytest.raises(AttesterUnavailable, match="written 2 times, not 1"):
            asked(kernel)
        assert not kernel.entries

    def test_a_write_that_the_kernel_dropped_is_noticed(self) -> None:
        kernel = TsmKernel(ROOT)

        def write_all_generations(read: str) -> None:
            kernel.before_read = lambda _: None
            entry = kernel.entries["coffer"]
            entry.written, entry.read, entry.inblob = 41, 42, seeded("theirs", 64)

        kernel.before_read = write_all_generations
        with pytest.raises(AttesterUnavailable, match="written 0 times, not 1"):
            asked(kernel)

    def test_a_taken_name_is_told(self) -> None:
        kernel = TsmKernel(ROOT)
        kernel.mkdir(ROOT / "coffer")
        with pytest.raises(AttesterUnavailable, match="name is taken"):
            asked(kernel)
        assert list(kernel.entries) == ["coffer"]  # it is not ours to remove


class TestFailing:
    @pytest.mark.parametrize(
        ("number", "advice"),
        [
            (errno.EBUSY, "try again"),
            (errno.EINVAL, "report data"),
            (errno.EIO, "the host refused"),
            (errno.ENOTTY, "restart the guest"),
            (errno.ENXIO, "no provider"),
            (errno.ETIMEDOUT, "did not answer"),
            (errno.EINTR, "try again"),
            (errno.ENOMEM, "unexpected"),
        ],
    )
    def test_the_firmwares_refusal_is_told_and_leaves_nothing_behind(self, number: int, advice: str) -> None:
        def fail(inblob: bytes, level: int) -> Blobs:
            refuse(number)

        kernel = TsmKernel(ROOT, new_report=fail)
        with pytest.raises(AttesterUnavailable, match=advice):
            asked(kernel)
        assert not kernel.entries

    def test_an_ordinary_machine_is_told_what_it_lacks(self, tmp_path: Path) -> None:
        with pytest.raises(AttesterUnavailable, match="no provider"):
            asked(TsmKernel(ROOT, provider=None))
        with pytest.raises(AttesterUnavailable, match="needs kernel"):
            ConfigfsTsm(tmp_path / "absent", name="coffer").quote(DATA)

    def test_a_provider_that_leaves_in_between_is_told(self) -> None:
        kernel = TsmKernel(ROOT)

        def leave(attribute: str) -> None:
            if attribute == "provider":
                kernel.provider = None

        kernel.before_read = leave
        with pytest.raises(AttesterUnavailable, match="no provider"):
            asked(kernel)

    def test_another_provider_is_refused(self) -> None:
        with pytest.raises(AttesterUnavailable, match="arm_cca_guest"):
            asked(TsmKernel(ROOT, provider="arm_cca_guest"))

    def test_no_evidence_is_refused(self) -> None:
        with pytest.raises(AttesterUnavailable, match="gave no evidence"):
            asked(TsmKernel(ROOT, new_report=lambda *_: (b"", b"", b"")))

    @pytest.mark.parametrize("place", range(3))
    def test_blobs_are_bounded(self, place: int) -> None:
        sizes = [1, 1, 1]
        sizes[place] = BLOB_BYTES_MAX
        visible = ("auxblob", "manifestblob")
        kernel = TsmKernel(
            ROOT, new_report=lambda *_: (bytes(sizes[0]), bytes(sizes[1]), bytes(sizes[2])), visible=visible
        )
        asked(kernel)
        sizes[place] += 1
        with pytest.raises(AttesterUnavailable, match=f"is over {BLOB_BYTES_MAX} bytes"):
            asked(kernel)


class TestAvailable:
    @pytest.mark.parametrize("provider", [SEV_GUEST, TDX_GUEST])
    def test_the_provider_is_named(self, provider: str) -> None:
        kernel = TsmKernel(ROOT, provider=provider)
        assert available(ROOT, name="probe", files=kernel) == provider
        assert not kernel.entries

    def test_others_and_none_are_nothing(self, tmp_path: Path) -> None:
        assert available(ROOT, name="probe", files=TsmKernel(ROOT, provider=None)) is None
        assert available(ROOT, name="probe", files=TsmKernel(ROOT, provider="arm_cca_guest")) is None
        assert available(tmp_path / "absent", name="probe") is None
        assert available(tmp_path, name="probe") is None  # a folder, but no configfs
        assert not list(tmp_path.iterdir())


class TestSystemFiles:
    def test_an_attribute_is_written_but_never_created(self, tmp_path: Path) -> None:
        files, attribute = SystemFiles(), tmp_path / "inblob"
        with pytest.raises(FileNotFoundError):
            files.write(attribute, b"data")
        attribute.touch()
        files.write(attribute, b"data")
        assert attribute.read_bytes() == b"data"

    def test_a_write_that_was_cut_short_is_an_error(self, tmp_path: Path) -> None:
        attribute = tmp_path / "inblob"
        attribute.touch()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3, hard))
        try:
            with pytest.raises(OSError, match="short write"):
                SystemFiles().write(attribute, b"data")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    def test_an_attribute_is_read_piece_by_piece_to_its_end(self, tmp_path: Path) -> None:
        pipe = tmp_path / "outblob"
        os.mkfifo(pipe)

        def give() -> None:
            with open(pipe, "wb", buffering=0) as file:
                for piece in (b"one ", b"two ", b"three"):
                    file.write(piece)

        giver = threading.Thread(target=give)
        giver.start()
        assert SystemFiles().read(pipe, bytes_max=100) == b"one two three"
        giver.join()

    def test_reading_stops_beyond_the_bound(self, tmp_path: Path) -> None:
        attribute = tmp_path / "outblob"
        attribute.write_bytes(bytes(100))
        assert len(SystemFiles().read(attribute, bytes_max=100)) == 100
        assert len(SystemFiles().read(attribute, bytes_max=98)) == 99

    def test_folders_come_and_go(self, tmp_path: Path) -> None:
        SystemFiles().mkdir(tmp_path / "entry")
        assert (tmp_path / "entry").is_dir()
        SystemFiles().rmdir(tmp_path / "entry")
        assert not (tmp_path / "entry").exists()


class TestCertificates:
    @pytest.mark.parametrize("guest", [VCEK_GUEST, VLEK_GUEST], ids=["VCEK", "VLEK"])
    def test_what_the_host_hands_over_verifies_the_report(self, guest: Guest) -> None:
        kernel = TsmKernel(ROOT, new_report=lambda *_: (guest.report(), whole_table(guest), b""))
        report = asked(kernel)
        found = report.certificates()
        claims = verified_snp(
            report.outblob,
            signer=found.signer,
            intermediate=found.intermediate,
            root=found.root,
            at=NOW,
            pinned=pinned(),
        )
        assert claims.facts()["signed_by"] == guest.kind

    def test_a_host_that_hands_over_nothing_is_told_of(self) -> None:
        kernel = TsmKernel(ROOT, new_report=lambda *_: (VCEK_GUEST.report(), b"", b""))
        with pytest.raises(AttesterUnavailable, match=r"lacks the VCEK.*snphost import"):
            asked(kernel).certificates()

    def test_the_table_is_of_bounded_entries_within_it(self) -> None:
        report = VCEK_GUEST.report()
        whole = [(VCEK, b"vcek"), (ASK, b"ask"), (ARK, b"ark")]
        assert certificates_for(report, table(*whole)).signer == b"vcek"
        assert certificates_for(report, table(*whole) + bytes(4096)).root == b"ark"  # pages are padded

    @pytest.mark.parametrize(
        "malformed",
        [
            pytest.param(b"\0", id="no entry"),
            pytest.param(bytes(24), id="empty"),
            pytest.param(table((VCEK, b"v"), (ASK, b"a")), id="root missing"),
            pytest.param(table((VLEK, b"v"), (ASK, b"a"), (ARK, b"r")), id="of the other signer"),
            pytest.param(table((VCEK, b"v"), (VCEK, b"w"), (ASK, b"a"), (ARK, b"r")), id="signer twice"),
            pytest.param(table((VCEK, b"v"), (ASK, b"a"), (ARK, b"r"))[:-1], id="cut short"),
            pytest.param(table((VCEK, b"v"), (ASK, b"a"), (ARK, b"r"))[:72], id="no end"),
            pytest.param(table((VCEK, b""), (ASK, b"a"), (ARK, b"r")), id="empty signer"),
            pytest.param(table((VCEK, bytes(9000)), (ASK, b"a"), (ARK, b"r")), id="signer too long"),
            pytest.param(b"".join(bytes([place]) * 24 for place in range(1, ENTRIES_MAX + 2)), id="too many"),
            pytest.param(moved(0, 95), id="signer over the header"),
            pytest.param(moved(2, 99), id="root beyond the end"),
            pytest.param(VCEK + b"\x30\0\0\0" + b"\xff\xff\xff\xff" + bytes(24), id="signer over all memory"),
        ],
    )
    def test_a_malformed_table_is_refused(self, malformed: bytes) -> None:
        with pytest.raises(EvidenceMalformed):
            certificates_for(VCEK_GUEST.report(), malformed)

    def test_a_table_is_bounded_before_it_is_parsed(self) -> None:
        whole = table((VCEK, b"v"), (ASK, b"a"), (ARK, b"r"))
        assert certificates_for(UNSIGNED, whole.ljust(TABLE_BYTES_MAX, b"\0")).signer == b"v"
        with pytest.raises(EvidenceMalformed, match="is over"):
            certificates_for(UNSIGNED, whole.ljust(TABLE_BYTES_MAX + 1, b"\0"))

    @pytest.mark.parametrize("report", [b"", VCEK_GUEST.with_(flags=7 << 2).report()], ids=["none", "unsigned"])
    def test_a_report_that_nobody_signed_has_no_certificates(self, report: bytes) -> None:
        with pytest.raises(EvidenceMalformed):
            certificates_for(report, whole_table(VCEK_GUEST))

    @settings(deadline=None)
    @given(st.binary(max_size=400))
    def test_arbitrary_tables_are_refused_or_read_within_themselves(self, auxblob: bytes) -> None:
        try:
            found = certificates_for(UNSIGNED, auxblob)
        except EvidenceMalformed:
            return
        assert found.signer in auxblob


UNSIGNED = bytes(1184)
