"""What travels as one piece of evidence: the vendor's document and all that verifies it, so that nothing is fetched.

Nitro documents carry their certificates themselves and need no bundle.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from vault.codec import Digest, Length, Record, record

QUOTE_BYTES_MAX = 16 << 10
COLLATERAL_BYTES_MAX = 64 << 10
EVENT_LOG_BYTES_MAX = 96 << 10
CERTIFICATE_BYTES_MAX = 4 << 10
GPUS_MAX = 8
RIMS_MAX = 4

Quote = Annotated[bytes, Length(1, QUOTE_BYTES_MAX)]
Collateral = Annotated[bytes, Length(1, COLLATERAL_BYTES_MAX)]
Certificate = Annotated[bytes, Length(1, CERTIFICATE_BYTES_MAX)]


@record
class IntelBundle(Record):
    """A TDX or SGX quote and Intel's collateral for it (QuoteCollateralV3, JSON)."""

    TYPE: ClassVar[str] = "coffer/intel-evidence/v1"

    quote: Quote
    collateral: Collateral


@record
class DstackBundle(Record):
    """A TDX quote of a dstack machine, its collateral, and the event log that its registers bear out."""

    TYPE: ClassVar[str] = "coffer/dstack-evidence/v1"

    quote: Quote
    collateral: Collateral
    event_log: Annotated[bytes, Length(2, EVENT_LOG_BYTES_MAX)]


@record
class SnpBundle(Record):
    """A SEV-SNP report and its certificates in DER: VCEK or VLEK, ASK or ASVK, ARK."""

    TYPE: ClassVar[str] = "coffer/snp-evidence/v1"

    report: Annotated[bytes, Length(1, QUOTE_BYTES_MAX)]
    signer: Certificate
    intermediate: Certificate
    root: Certificate


@record
class GpuDevice(Record):
    """One GPU's report and certificate chain (PEM)."""

    report: Annotated[bytes, Length(1, QUOTE_BYTES_MAX)]
    chain: Annotated[bytes, Length(1, QUOTE_BYTES_MAX)]


@record
class GpuBundle(Record):
    """All GPUs of a machine over one nonce, and the reference measurements (RIM) of their driver and VBIOS."""

    TYPE: ClassVar[str] = "coffer/gpu-evidence/v1"

    nonce: Digest
    devices: Annotated[tuple[GpuDevice, ...], Length(1, GPUS_MAX)]
    rims: Annotated[tuple[Annotated[bytes, Length(1, COLLATERAL_BYTES_MAX)], ...], Length(1, RIMS_MAX)]
