"""What an enclave was told to be: every setting that changes what it does, in one object that policies name (E3)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.codec import Digest, Label, Length, Record, record
from vault.earnings import EPOCH_S


@record
class EnclaveConfiguration(Record):
    """The configuration whose CID evidence binds."""

    TYPE: ClassVar[str] = "coffer/enclave-configuration/v2"

    genesis: Cid
    model: Digest  # SHA-256 of the embedding model's weights
    model_settings: Digest  # SHA-256 over its tokenizer, pooling and prompts
    dtype: Annotated[str, Length(1, 20)]
    index: Label
    reranker: Annotated[bytes, Length(0, 32)]  # SHA-256 over the cross-encoder's files; empty where there is none
    version: Label  # of this software
    epoch_s: int = EPOCH_S  # how long a royalty epoch is
