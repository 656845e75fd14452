"""Statements of one payee, asked for by a signed inquiry, checked and kept."""

from __future__ import annotations

from pathlib import Path

from cli.attested import Attested
from cli.statement_files import Names, kept_statement, passage_names
from cli.vouching import vouching_of
from enclave.public_client import statements
from vault.signing import SigningKey
from vault.statement_file import StatementFile


def fetched(
    found: Attested, key: SigningKey, epoch: int, folder: Path, *, server_nonce: bytes | None = None
) -> list[tuple[Path, StatementFile, Names]]:
    """Fetch a wallet's statements of one epoch from an enclave that proved itself, and keep them in a folder.

    Args:
        epoch: its number; 0 for the last one that closed.
        server_nonce: a fresh one, for every call after the first.
    Raises: `NotYet` where the epoch has not closed, `AccessDenied` where the wallet has no account in it;
        `ForkedHistory` where a statement contradicts one that was kept before.
    """
    grounds, channel = found.grounds, found.channel
    inquiry = found.inquiry(grounds.terms.genesis, key, server_nonce=server_nonce)
    vouching, manifests = vouching_of(grounds), [*grounds.manifests.values()]
    kept = []
    for proven, passage_key in statements(channel, inquiry.encoded(), epoch, grounds.terms):
        names = passage_names(proven.statement, passage_key, manifests)
        kept.append(kept_statement(folder, StatementFile(proven=proven, vouching=vouching), names))
    return kept
