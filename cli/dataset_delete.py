"""`coffer dataset delete`: destroy a dataset's key and blocks, and say what that leaves.

The order makes every step safe to repeat: custodians first, then blocks, and last what is needed to start over: the
owner's copy of the key and the catalog's entry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import dataset_copies, wiring
from cli.console import FAILED, foreign, reported, say, show_json, warn
from cli.dataset_tombstone import tombstone_json
from cli.home import Home, Settings
from cli.options import CustodianOption, HomeOption, JsonOption, cid_option
from cli.sealed_files import write_private
from cli.workplace import custodians_reached, opened_home, owner_key, progress_bar
from storage.cid import Cid
from storage.errors import StorageError
from storage.model import Blobs
from vault.assembly import history_of
from vault.charter import Charter
from vault.copies.model import Copy, CopyState, Kind
from vault.deleting import Shredded, remove_blocks, remove_segments, remove_snapshots, shredded
from vault.delivery import manifest_at
from vault.destruction import VERSIONS_MAX, Tombstone, deleted_version
from vault.errors import MalformedObject, ServiceUnavailable
from vault.manifest import Manifest
from vault.plain_text import counted
from vault.signing import BLANK_SIGNATURE, SigningKey

if TYPE_CHECKING:
    from vault.client import CustodyClient
    from vault.records.catalog import Catalog
    from vault.records.copies import CopyRecords

REMAINS = (
    "copies of its blocks that others made: still sealed, and nobody can open them once the key is gone",
    "paper shares of the key (coffer dataset backup): destroy the lists yourself",
    "backups of custodians from before: they still hold that share, so let the custodians destroy those too",
    "what enclaves hold in memory: until their leases end, {lease_s} s at most",
    "passages that were answered already, and your own documents",
)
_ManifestArgument = Annotated[str, typer.Argument(help="The CID of any version of the dataset.")]
_OwnerOption = Annotated[str, typer.Option("--owner", help="The owner's wallet: a name in the home folder, or a path.")]
_StorageOption = Annotated[
    list[str] | None,
    typer.Option("--storage", help="A place to delete it from: an IPFS node's multiaddr, or a folder; once per place."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Deletion:
    """What is about to be deleted, and with what."""

    settings: Settings
    home: Home
    catalog: Catalog
    copies: CopyRecords
    manifests: Sequence[Manifest]
    places: Sequence[Blobs]
    charter: Charter
    owner: SigningKey
    is_whole: bool  # all versions, so that the DAO should revoke the dataset


def delete(
    manifest: _ManifestArgument,
    owner: _OwnerOption,
    this_version: Annotated[
        bool, typer.Option("--this-version", help="Only this version; later and earlier ones stay.")
    ] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Delete blocks and your key even where custodians still can rebuild it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    storage: _StorageOption = None,
    custodian: CustodianOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Destroy a dataset: its key at the custodians and here, and its blocks wherever it is stored. It cannot be undone.

    Custodians sign that they destroyed their shares; once too few are left, nobody can rebuild the key. What the
    command cannot reach, it says. The tombstone that it leaves is what the DAO then revokes the dataset with.
    """
    from vault.records.board import Board
    from vault.records.catalog import Catalog
    from vault.records.copies import CopyRecords

    with reported():
        settings, place = opened_home(home, custodians=tuple(custodian or ()))
        cid = cid_option(manifest)
        with wiring.open_database(settings) as records:
            catalog = Catalog(records)
            places = _places(settings, storage or [])
            manifests = _meant(catalog, cid, [wiring.open_staging(settings), *places], is_whole=not this_version)
            deletion = _Deletion(
                settings=settings,
                home=place,
                catalog=catalog,
                copies=CopyRecords(records),
                manifests=manifests,
                places=places,
                charter=history_of(Board(records), manifests[0].genesis, at=wiring.clock()).charter,
                owner=owner_key(settings, owner, manifests[0]),
                is_whole=not this_version,
            )
            _confirm(deletion, is_confirmed=yes)
            with custodians_reached(settings) as reached:
                answers = [_shredded(deletion, one, reached.clients) for one in manifests]
            if not anyway and not all(answer.is_done for answer in answers):
                _refuse(deletion, answers, is_json=json)
            shown = _deleted(deletion, answers, is_json=json)
        show_json(shown) if json else _say(shown)


def _places(settings: Settings, storages: list[str]) -> list[Blobs]:
    named = [wiring.open_storage(settings.model_copy(update={"storage": text})) for text in storages]
    further = [place for place in settings.places.values() if place.kind in (Kind.DIRECTORY, Kind.IPFS)]
    return named or [wiring.open_storage(settings), *(wiring.open_blobs(one.kind, one.at) for one in further)]


def _meant(catalog: Catalog, cid: Cid, places: Sequence[Blobs], *, is_whole: bool) -> list[Manifest]:
    """Return the versions that are meant, the first one first."""
    row = catalog.get(cid)
    if row is None:
        raise MalformedObject(f"dataset {cid} is not known in this home; coffer dataset list prints those that are")
    rows = [one for one in catalog.list() if one.dataset == row.dataset] if is_whole else [row]
    if len(rows) > VERSIONS_MAX:
        raise MalformedObject(
            f"it has {len(rows)} versions, and {VERSIONS_MAX} are deleted together; begin with --this-version"
        )
    manifests = [manifest_at(one.manifest, *places) for one in sorted(rows, key=lambda one: one.version)]
    return manifests


def _confirm(deletion: _Deletion, *, is_confirmed: bool) -> None:
    if is_confirmed:
        return
    names = ", ".join(foreign(place.name) for place in deletion.places)
    say(f"deletes {counted(len(deletion.manifests), 'version')} from {names}, and their keys at the custodians")
    if not typer.confirm("It cannot be undone. Delete?", default=False, err=True):
        raise typer.Exit(FAILED)


def _shredded(deletion: _Deletion, manifest: Manifest, custodians: Mapping[bytes, CustodyClient]) -> Shredded:
    return shredded(manifest, deletion.charter, deletion.owner, custodians)


def _refuse(deletion: _Deletion, answers: Sequence[Shredded], *, is_json: bool) -> None:
    """Say which custodians are missing, and that nothing else was deleted."""
    versions = [_version_json(*pair) for pair in zip(deletion.manifests, answers, strict=True)]
    if is_json:
        show_json({"deleted": False, "versions": versions})
    first = next(answer for answer in answers if not answer.is_done)
    who = "; ".join(f"{key.hex()}: {why}" for key, why in first.failures.items())
    raise ServiceUnavailable(
        f"{len(first.receipts)} of the {first.needed} receipts needed came, so the custodians can still rebuild the "
        f"key; blocks and your key were kept. Run it again when they answer, or with --anyway ({who})"
    )


def _deleted(deletion: _Deletion, answers: Sequence[Shredded], *, is_json: bool) -> dict[str, Any]:
    """Leave the tombstone, delete blocks, then forget key and entry; return what was done.

    The manifests stay in staging to the end, so that an interrupted deletion can be run again.
    """
    manifests, staging = deletion.manifests, wiring.open_staging(deletion.settings)
    stone = _tombstone(deletion, answers)
    file = deletion.home.tombstone(str(stone.cid()))
    write_private(file, stone.encoded())
    for one in manifests:
        staging.put(one.cid(), one.encoded())
    left = dataset_copies.let_go(deletion.settings, deletion.copies, [one.cid() for one in manifests])
    removed = _blocks_removed(deletion, staging, is_json=is_json)
    for place in deletion.places:
        place.put(stone.cid(), stone.encoded())
    for one in manifests:
        deletion.home.data_key(one.dataset, one.version).unlink(missing_ok=True)
        deletion.catalog.remove(one.cid())
        staging.delete(one.cid())
    return tombstone_json(stone) | {
        "deleted": True,
        "versions": [_version_json(*pair) for pair in zip(manifests, answers, strict=True)],
        "blocks_removed": removed,
        "file": str(file),
        "subject": stone.subject().hex() if deletion.is_whole else None,
        "leaving": [_left_json(copy) for copy in left if copy.state is CopyState.LEAVING],
        "remains": [sentence.format(lease_s=deletion.charter.lease_s) for sentence in REMAINS]
        + [f"at {copy.place}: {copy.fault}" for copy in left if copy.state is CopyState.GONE and copy.fault],
    }


def _left_json(copy: Copy) -> dict[str, Any]:
    return {"manifest": str(copy.manifest), "place": copy.place, "waiting": copy.fault}


def _blocks_removed(deletion: _Deletion, staging: Blobs, *, is_json: bool) -> dict[str, int]:
    """Delete the versions' blocks from every place, of staging all but the manifests; return how many were where."""
    manifests = deletion.manifests
    sealed_bytes = sum(one.sealed_bytes for one in manifests)
    removed: dict[str, int] = {}
    failed: list[str] = []
    with progress_bar("bytes deleted", total=sealed_bytes * len(deletion.places), is_json=is_json) as progress:
        for number, place in enumerate(deletion.places):
            progress(number * sealed_bytes)
            try:
                removed[place.name] = remove_snapshots(frozenset(one.cid() for one in manifests), place)
                removed[place.name] += sum(remove_blocks(one, place) for one in manifests)
            except StorageError as error:
                failed.append(str(error))
    if failed:
        raise ServiceUnavailable(
            "the custodians did their part, and not all blocks are gone: " + "; ".join(failed) + ". Run it again"
        )
    for one in manifests:
        remove_segments(one, staging)
    return removed


def _tombstone(deletion: _Deletion, answers: Sequence[Shredded]) -> Tombstone:
    first = deletion.manifests[0]
    return Tombstone(
        genesis=first.genesis,
        owner=first.owner,
        dataset=first.dataset,
        versions=tuple(
            deleted_version(one, answer.receipts) for one, answer in zip(deletion.manifests, answers, strict=True)
        ),
        deleted_at=wiring.clock(),
        signature=BLANK_SIGNATURE,
    ).signed_by(deletion.owner, deletion.charter.domain(first.genesis))


def _version_json(manifest: Manifest, answer: Shredded) -> dict[str, Any]:
    return {
        "manifest": str(manifest.cid()),
        "version": manifest.version,
        "receipts": len(answer.receipts),
        "needed": answer.needed,
        "shredded": answer.is_done,
        "failures": {key.hex(): why for key, why in answer.failures.items()},
    }


def _say(shown: dict[str, Any]) -> None:
    for one in shown["versions"]:
        receipts = f"{counted(one['receipts'], 'receipt')}, {one['needed']} needed"
        if one["shredded"]:
            say(f"[green]✓[/] version {one['version']} {one['manifest']}: its key is gone ({receipts})")
        else:
            warn(f"version {one['version']} {one['manifest']}: its key can still be rebuilt ({receipts})")
        for key, why in one["failures"].items():
            say(f"  [yellow]custodian {key}: {foreign(why)}[/]")
    for name, blocks in shown["blocks_removed"].items():
        say(f"{foreign(name)}: {counted(blocks, 'block')} deleted")
    say(f"tombstone [bold]{shown['tombstone']}[/]\n  {foreign(shown['file'])}")
    for one in shown["leaving"]:
        say(f"[yellow]{foreign(one['place'])}[/] has not let go of it yet: {foreign(one['waiting'])}")
    if shown["leaving"]:
        say("coffer storage watch goes on with that; see it with: coffer dataset status")
    say("what is beyond deleting:")
    for sentence in shown["remains"]:
        say(f"  {sentence}")
    if shown["subject"]:
        say(f"next, for the head to refer to it: coffer dao propose --wallet W --revoke dataset {shown['subject']}")
