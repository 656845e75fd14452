"""A simulated TEE: the interface of evidence, and the protection of nothing at all.

Its evidence is signed with a key that every install makes for itself, so one install's evidence means nothing to
another's policy. It is accepted only where a policy names it and the owner's manifest allows it, never in production.
The measurement is real as far as it goes: SHA-384 over the code that would be measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha384
from importlib import import_module
from pathlib import Path
from typing import Annotated, ClassVar, Final

from enclave.attestation.claims import Fact, Shown
from enclave.attestation.errors import EvidenceMalformed, SignatureInvalid
from vault.codec import Length, PublicKey, record
from vault.errors import InvalidSignature, MalformedObject
from vault.evidence import Evidence
from vault.machine import BLANK, MachineKey, MachineSigned
from vault.policy import SIMULATED

MEASURED_PACKAGES: Final = ("enclave", "rag", "storage", "vault")


@record
class SimulatedReport(MachineSigned):
    """What real hardware would sign."""

    TYPE: ClassVar[str] = "coffer/simulated-report/v1"

    simulator: PublicKey
    measurement: Annotated[bytes, Length(48, 48)]
    report_data: Annotated[bytes, Length(64, 64)]
    debug: bool

    @property
    def kind(self) -> str:
        """Return the kind of evidence."""
        return SIMULATED

    def signer(self) -> bytes:
        """Return the simulator's key."""
        return self.simulator

    def facts(self) -> Mapping[str, Fact]:
        """Return what a policy may judge."""
        return {
            "measurement": self.measurement,
            "simulator": self.simulator,
            "report_data": self.report_data,
            "debug": self.debug,
        }

    def shown(self) -> dict[str, Shown]:
        """Return every claim as JSON."""
        return {name: fact.hex() if isinstance(fact, bytes) else fact for name, fact in self.facts().items()}


class UnsafeSimulatedAttester:
    """Signs whatever it is asked to, on any machine. For laptops and tests."""

    kind = SIMULATED

    def __init__(self, key: MachineKey, measurement: bytes) -> None:
        self._key = key
        self._measurement = measurement

    def gpu_evidence(self) -> bytes:
        """Return nothing: a simulator vouches for no GPU."""
        return b""

    def evidence(self, report_data: bytes) -> Evidence:
        """Return simulated evidence over 64 bytes of report data."""
        report = SimulatedReport(
            simulator=self._key.public,
            measurement=self._measurement,
            report_data=report_data,
            debug=False,
            signature=BLANK,
        ).signed_by(self._key)
        return Evidence(kind=SIMULATED, document=report.encoded())


def verified_simulated(document: bytes) -> SimulatedReport:
    """Return the report if the simulator it names signed it, or raise an `EvidenceRefused`."""
    try:
        report = SimulatedReport.from_bytes(document)
        report.verify()
    except MalformedObject as error:
        raise EvidenceMalformed("the simulated evidence is malformed") from error
    except InvalidSignature as error:
        raise SignatureInvalid("the simulated evidence is not signed by the simulator it names") from error
    return report


def code_measurement() -> bytes:
    """Return SHA-384 over the installed code of the measured packages: names and contents, in order."""
    digest = sha384(b"coffer/simulated-measurement/v1")
    for package in MEASURED_PACKAGES:
        root = Path(import_module(package).__path__[0])
        for file in sorted(root.rglob("*.py")):
            name = f"{package}/{file.relative_to(root).as_posix()}".encode()
            content = file.read_bytes()
            digest.update(len(name).to_bytes(4, "big") + name + len(content).to_bytes(8, "big") + content)
    return digest.digest()
