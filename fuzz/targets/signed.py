"""What only a vendor's key can sign, signed by keys of our own: what lies behind the signatures, native code included.

The first byte picks what the others are: body of a TD or of an enclave, TCB info, QE identity, the SGX extension of a
PCK certificate, an SPDM transcript, or a Nitro document's payload.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from enclave.attestation.nvidia import verified_nvidia
from enclave.attestation.sgx import verified_sgx
from enclave.attestation.tdx import verified_tdx
from tests.enclave.attestation import aws, nvidia_gpu
from tests.enclave.attestation.intel import ENCLAVE, PCK, PCK_CA, PINNED, ROOT, TD, Machine
from tests.enclave.attestation.intel_pki import Subject
from tests.people import NOW


@dataclass(frozen=True, kw_only=True)
class _Forged(Machine):
    """A machine with parts that no field of it describes."""

    raw_body: bytes | None = None
    raw_info: str | None = None
    raw_identity: str | None = None

    def encoded_body(self) -> bytes:
        return super().encoded_body() if self.raw_body is None else self.raw_body

    def described(self) -> tuple[str, str]:
        info, identity = super().described()
        return self.raw_info or info, self.raw_identity or identity


_TD_COLLATERAL, _ENCLAVE_COLLATERAL = TD.collateral(), ENCLAVE.collateral()
_TD_QUOTE = TD.quote()
_GPU = nvidia_gpu.Gpu()
_CHAIN = _GPU.chain()


def _td(data: bytes) -> None:
    verified_tdx(_Forged(raw_body=data).quote(), _TD_COLLATERAL, at=NOW, pinned=PINNED)


def _enclave(data: bytes) -> None:
    forged = _Forged(version=3, tee_type=0, raw_body=data)
    verified_sgx(forged.quote(), _ENCLAVE_COLLATERAL, at=NOW, pinned=PINNED)


def _info(data: bytes) -> None:
    verified_tdx(_TD_QUOTE, _Forged(raw_info=data.decode("latin-1")).collateral(), at=NOW, pinned=PINNED)


def _identity(data: bytes) -> None:
    verified_tdx(_TD_QUOTE, _Forged(raw_identity=data.decode("latin-1")).collateral(), at=NOW, pinned=PINNED)


def _extension(data: bytes) -> None:
    pck = Subject(name=PCK.name, issuer=PCK_CA, sgx_extension=data)
    verified_tdx(_Forged(pck_chain=(pck, PCK_CA, ROOT)).quote(), _TD_COLLATERAL, at=NOW, pinned=PINNED)


def _transcript(data: bytes) -> None:
    pinned = nvidia_gpu.pinned()
    verified_nvidia(_GPU.signed(data), _CHAIN, nonce=None, at=NOW, pinned=pinned).shown()


def _payload(data: bytes) -> None:
    aws.ENCLAVE.with_(payload=data).verified().shown()


_KINDS: tuple[Callable[[bytes], None], ...] = (_td, _enclave, _info, _identity, _extension, _transcript, _payload)
ROLES = ()
MADE_UP = tuple(
    bytes([kind]) + start
    for kind, start in enumerate(
        (
            TD.encoded_body(),
            ENCLAVE.encoded_body(),
            *(json.dumps(json.loads(text)).encode() for text in TD.described()),
            PCK.sgx_extension or b"",
            _GPU.unsigned(),
            aws.ENCLAVE.encoded(),
        )
    )
)


def fuzz(data: bytes) -> None:
    """Sign the bytes as what the first of them says, and verify that."""
    if data:
        _KINDS[data[0] % len(_KINDS)](data[1:])
