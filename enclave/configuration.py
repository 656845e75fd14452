"""What an enclave was told to be: every setting that changes what it does, in one object that policies name (E3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.codec import Digest, Label, Length, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveConfiguration(Record):
    """The configuration whose CID evidence binds."""

    TYPE: ClassVar[str] = "coffer/enclave-configuration/v1"

    genesis: Cid
    model: Digest  # SHA-256 of the embedding model's weights
    dtype: Annotated[str, Length(1, 20)]
    index: Label
    version: Label  # of this software
