"""An owner's sealing: blocks in staging, the key in the keyring, a row in the catalog; or nothing of it."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cli import wiring
from cli.home import Home, Settings
from cli.keyring import write_keys
from storage.cid import Cid
from storage.errors import StorageError
from storage.model import Blobs
from vault.charter import Charter
from vault.corpus import Corpus
from vault.delivery import Undoable
from vault.envelope import Passage
from vault.errors import AccessDenied, ForkedHistory, MalformedObject
from vault.manifest import dataset_id
from vault.publishing import Draft, Sealed, seal_dataset
from vault.records.model import DatasetRow
from vault.signing import SigningKey, address_text

if TYPE_CHECKING:
    from rag.model import Document, Skipped
    from vault.records.catalog import Catalog

STDIN = "-"


def documents_of(paths: Iterable[str], stdin_name: str) -> Iterator[Document | Skipped]:
    """Return the documents of files, folders or stdin, as they are read, with whatever was skipped."""
    from rag.documents import read, read_stdin

    named = list(paths)
    for path in named:
        if path != STDIN and not Path(path).exists():
            raise FileNotFoundError(f"{path} does not exist; name a file, a folder, or - for stdin")
    if STDIN not in named:
        return read(Path(path) for path in named)
    if named != [STDIN]:
        raise MalformedObject("stdin is read alone; leave out the other paths, or the -")
    return read_stdin(sys.stdin.buffer, stdin_name)


def draft_of(
    settings: Settings,
    catalog: Catalog,
    owner: SigningKey,
    *,
    genesis: Cid,
    title: str,
    allow_simulated: bool,
    replaces: Cid | None,
) -> Draft:
    """Return what the owner decides: a new dataset, or the next version of the one that `replaces` names."""
    model = wiring.model_of(settings)[1]
    if replaces is None:
        dataset, version = dataset_id(owner.address, secrets.token_bytes(32)), 1
    else:
        row = catalog.get(replaces)
        if row is None:
            raise MalformedObject(f"dataset {replaces} was not sealed in this home, so its next version cannot be")
        if row.owner != owner.address or row.genesis != genesis:
            raise AccessDenied(f"dataset {replaces} is {address_text(row.owner)}'s, under DAO {row.genesis}")
        dataset, version = row.dataset, row.version + 1
        title = title or row.title
        if catalog.get_version(dataset, version) is not None:
            raise ForkedHistory(f"version {version} of this dataset is sealed already; replace that one")
    return Draft(
        genesis=genesis,
        dataset=dataset,
        title=title,
        version=version,
        previous=replaces,
        allow_simulated=allow_simulated,
        model=model,
    )


def seal(
    settings: Settings,
    catalog: Catalog,
    items: Iterable[Document | Skipped],
    draft: Draft,
    charter: Charter,
    owner: SigningKey,
    progress: Callable[[int], None],
) -> tuple[DatasetRow, Corpus]:
    """Seal into staging, keep the key, and catalog it. What fails midway leaves no block, key or row behind."""
    corpus = Corpus()
    passages = corpus.cut(items, wiring.make_chunker(settings), progress)
    return seal_passages(settings, catalog, passages, corpus, draft, charter, owner), corpus


def seal_passages(
    settings: Settings,
    catalog: Catalog,
    passages: Iterable[Passage],
    corpus: Corpus,
    draft: Draft,
    charter: Charter,
    owner: SigningKey,
) -> DatasetRow:
    """Do as `seal` does with passages that are cut already, and counted in `corpus` while they come."""
    key_path = Home(settings.home).data_key(draft.dataset, draft.version)
    staging = Undoable(wiring.open_staging(settings))
    try:
        sealed = _sealed(passages, draft, charter, owner, staging, corpus)
        write_keys(key_path, sealed, owner)
        row = DatasetRow.sealed(sealed.manifest, documents=corpus.documents, at=wiring.clock())
        catalog.add(row)
    except BaseException:
        _undo(staging, key_path)
        raise
    return row


def _sealed(
    passages: Iterable[Passage], draft: Draft, charter: Charter, owner: SigningKey, staging: Blobs, corpus: Corpus
) -> Sealed:
    try:
        return seal_dataset(passages, draft, charter=charter, owner=owner, blobs=staging, progress=lambda _: None)
    except MalformedObject as error:
        if corpus.passages == 0 and corpus.skipped:
            reasons = "; ".join(f"{item.name}: {item.reason}" for item in corpus.skipped[:3])
            raise MalformedObject(f"nothing was sealed, since no document could be read: {reasons}") from error
        raise


def _undo(staging: Undoable, key_path: Path) -> None:
    try:
        key_path.unlink(missing_ok=True)
        staging.undo()
    except (OSError, StorageError):  # the first failure is the one to report; what is left nobody can open
        return
