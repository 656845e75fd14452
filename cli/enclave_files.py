"""What `coffer enclave describe --json` wrote: the machine and the configuration that a policy is to accept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cli.sealed_files import read_bounded
from cli.tees import shortened, tee_from_json
from enclave.attestation.errors import EvidenceMalformed
from enclave.attestation.strict_json import object_from
from storage.cid import Cid
from storage.errors import InvalidCid
from vault.errors import MalformedObject
from vault.policy import AcceptedTee

DESCRIPTION_BYTES_MAX = 64 << 10


def enclaves_from(files: Sequence[Path]) -> tuple[tuple[AcceptedTee, ...], tuple[Cid, ...]]:
    """Return the machines and configurations that files describe, each once."""
    described = [_enclave_from(file) for file in files]
    tees = dict.fromkeys(tee for tee, _ in described)
    return tuple(tees), tuple(dict.fromkeys(configuration for _, configuration in described))


def _enclave_from(file: Path) -> tuple[AcceptedTee, Cid]:
    data = read_bounded(file, DESCRIPTION_BYTES_MAX)
    try:
        said = object_from(data, what="description", bytes_max=DESCRIPTION_BYTES_MAX)
    except EvidenceMalformed as error:
        raise MalformedObject(
            f"{file} is no JSON object of whole numbers and text in which every member stands once; "
            "write it with: coffer enclave describe DAO --json"
        ) from error
    try:
        tee = tee_from_json(said)
        tee.check()
        return tee, _configuration_from(said.get("configuration"))
    except MalformedObject as error:
        raise MalformedObject(f"{file}: {error}") from error


def _configuration_from(said: object) -> Cid:
    if not isinstance(said, str):
        raise MalformedObject("configuration: a CID was expected, which coffer enclave describe DAO --json prints")
    try:
        return Cid.parse(said)
    except InvalidCid as error:
        raise MalformedObject(f"configuration: {shortened(said)} is not a CID") from error
