"""Linux's interface to TDX and SEV-SNP evidence: configfs-tsm, since kernel 6.7.

Source: Documentation/ABI/testing/configfs-tsm-report of the kernel. A folder made there is one request: write `inblob`,
read `outblob`. Binary attributes are committed when closed and the kernel then drops the result, so nothing but the
counter in `generation` tells whether our bytes, and ours alone, are what the evidence covers.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from enclave.attestation.attesters import AttesterUnavailable
from enclave.attestation.errors import EvidenceMalformed
from enclave.attestation.snp_table import SnpCertificates, certificates_for

ROOT: Final = Path("/sys/kernel/config/tsm/report")
REPORT_DATA_BYTES: Final = 64
BLOB_BYTES_MAX: Final = 32 << 10  # the bound of kernel 6.7 on outblob and auxblob
ATTRIBUTE_BYTES_MAX: Final = 4096
TDX_GUEST: Final = "tdx_guest"
SEV_GUEST: Final = "sev_guest"
PROVIDERS: Final = (TDX_GUEST, SEV_GUEST)
PRIVILEGE_LEVEL_MAX: Final = 3

_ADVICE: Final = {
    errno.ENOENT: "needs kernel 6.7 or newer, configfs mounted at /sys/kernel/config, and a TDX or SEV-SNP guest",
    errno.ENXIO: "no provider: load the tdx_guest or sev-guest module inside a TDX or SEV-SNP guest",
    errno.EEXIST: "the name is taken: choose another, or rmdir what a killed process left",
    errno.EACCES: "needs root, or write permission on configfs",
    errno.EPERM: "needs root, or write permission on configfs",
    errno.EBUSY: "the report is written by another process, or the quoting service is busy; try again",
    errno.EINVAL: "the provider does not take this report data or privilege level",
    errno.EIO: "the host refused: on TDX its quoting service, on SEV-SNP its certificate table may be too large",
    errno.ENOTTY: "the guest's key to the firmware is disabled; restart the guest",
    errno.ETIMEDOUT: "the host did not answer in time; try again",
    errno.EINTR: "interrupted; try again",
}


class Files(Protocol):
    """The few operations on configfs that a request takes. Each raises `OSError`."""

    def mkdir(self, path: Path) -> None:
        """Make a folder."""
        ...

    def rmdir(self, path: Path) -> None:
        """Remove a folder."""
        ...

    def write(self, path: Path, content: bytes) -> None:
        """Open, write once and close."""
        ...

    def read(self, path: Path, *, bytes_max: int) -> bytes:
        """Open, read to the end or one byte beyond `bytes_max`, and close."""
        ...


class SystemFiles:
    """The kernel's own."""

    def mkdir(self, path: Path) -> None:
        """Make a folder."""
        os.mkdir(path)

    def rmdir(self, path: Path) -> None:
        """Remove a folder."""
        os.rmdir(path)

    def write(self, path: Path, content: bytes) -> None:
        """Open, write once and close; configfs takes an attribute in one piece and lets nobody create one."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            written = os.write(descriptor, content)
        finally:
            os.close(descriptor)
        if written != len(content):
            raise OSError(errno.EIO, "short write", str(path))

    def read(self, path: Path, *, bytes_max: int) -> bytes:
        """Open, read to the end or one byte beyond `bytes_max`, and close."""
        content = bytearray()
        with open(path, "rb", buffering=0) as file:
            while len(content) <= bytes_max and (piece := file.read(bytes_max + 1 - len(content))):
                content += piece
        return bytes(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class TsmReport:
    """What the kernel hands out for one request."""

    provider: str
    outblob: bytes  # TDX: the quote; SEV-SNP: the report
    auxblob: bytes  # SEV-SNP: the host's certificate table, empty where it gives none
    manifestblob: bytes  # of an SVSM's services, else empty

    def certificates(self) -> SnpCertificates:
        """Return the certificates that a SEV-SNP host handed over, or raise `AttesterUnavailable`."""
        try:
            return certificates_for(self.outblob, self.auxblob)
        except EvidenceMalformed as error:
            raise AttesterUnavailable(
                f"{error}; the host hands over certificates only where its operator installed them (snphost import)"
            ) from error


class ConfigfsTsm:
    """Asks for evidence through configfs-tsm, for one request after the other."""

    def __init__(
        self, root: Path = ROOT, *, name: str, privilege_level: int | None = None, files: Files | None = None
    ) -> None:
        if not name or name != Path(name).name or name in (".", ".."):
            raise ValueError("name must be that of a folder")
        if privilege_level is not None and not 0 <= privilege_level <= PRIVILEGE_LEVEL_MAX:
            raise ValueError(f"privilege_level must be 0 to {PRIVILEGE_LEVEL_MAX}")
        self._entry = root / name
        self._privilege_level = privilege_level
        self._files = files or SystemFiles()
        self._asking = threading.Lock()  # two requests would meet in one folder

    def quote(self, report_data: bytes) -> TsmReport:
        """Return evidence over 64 bytes of report data, or raise `AttesterUnavailable`.

        The privilege level is SEV-SNP's VMPL; without one the kernel chooses.
        """
        if len(report_data) != REPORT_DATA_BYTES:
            raise ValueError(f"report_data must be {REPORT_DATA_BYTES} bytes")
        with self._asking, _told(self._entry), self._made():
            return self._asked(report_data)

    def _asked(self, report_data: bytes) -> TsmReport:
        before = self._generation()
        if self._privilege_level is not None:
            self._set_privilege_level(self._privilege_level)
        self._files.write(self._entry / "inblob", report_data)
        writes = 1 if self._privilege_level is None else 2
        report = TsmReport(
            provider=_text(self._read("provider", ATTRIBUTE_BYTES_MAX)),
            outblob=self._read("outblob", BLOB_BYTES_MAX),
            auxblob=self._read_optional("auxblob"),
            manifestblob=self._read_optional("manifestblob"),
        )
        written = self._generation() - before
        if written != writes:
            raise AttesterUnavailable(f"{self._entry}: written {written} times, not {writes}: others use this name")
        if report.provider not in PROVIDERS:
            raise AttesterUnavailable(f"{self._entry}: provider {report.provider!r}, wanted one of {PROVIDERS}")
        if not report.outblob:
            raise AttesterUnavailable(f"{self._entry}: the provider {report.provider} gave no evidence")
        return report

    def _set_privilege_level(self, level: int) -> None:
        try:
            self._files.write(self._entry / "privlevel", str(level).encode())
        except FileNotFoundError as error:
            raise AttesterUnavailable(f"{self._entry}: its provider has no privilege levels; ask without") from error

    @contextlib.contextmanager
    def _made(self) -> Iterator[None]:
        self._files.mkdir(self._entry)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # what was asked is answered; a leftover shows as EEXIST next time
                self._files.rmdir(self._entry)

    def _generation(self) -> int:
        text = _text(self._read("generation", ATTRIBUTE_BYTES_MAX))
        if not text.isascii() or not text.isdecimal():
            raise AttesterUnavailable(f"{self._entry}: generation is not a number")
        return int(text)

    def _read(self, attribute: str, bytes_max: int) -> bytes:
        content = self._files.read(self._entry / attribute, bytes_max=bytes_max)
        if len(content) > bytes_max:
            raise AttesterUnavailable(f"{self._entry}: {attribute} is over {bytes_max} bytes")
        return content

    def _read_optional(self, attribute: str) -> bytes:
        """Return an attribute that some providers do not have; then it is empty."""
        try:
            return self._read(attribute, BLOB_BYTES_MAX)
        except FileNotFoundError:
            return b""


def available(root: Path = ROOT, *, name: str, files: Files | None = None) -> str | None:
    """Return which provider answers on this machine, or nothing where none does; asks for no evidence."""
    entry, used = root / name, files or SystemFiles()
    try:
        used.mkdir(entry)
    except OSError:
        return None
    try:
        provider = _text(used.read(entry / "provider", bytes_max=ATTRIBUTE_BYTES_MAX))
    except OSError:
        return None
    finally:
        with contextlib.suppress(OSError):
            used.rmdir(entry)
    return provider if provider in PROVIDERS else None


def _text(content: bytes) -> str:
    return content.decode("ascii", errors="replace").removesuffix("\n")


@contextlib.contextmanager
def _told(entry: Path) -> Iterator[None]:
    """Say what to do about an error of the kernel's."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "unexpected; see the kernel's log")
        raise AttesterUnavailable(f"{entry}: {os.strerror(error.errno or 0)}: {advice}") from error
