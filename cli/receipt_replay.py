"""`coffer receipt replay`: search again, from the committed vector, and compare with what was answered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import wiring
from cli.console import FAILED, foreign, reported, say, say_held, say_wrong, show_json, warn_simulated
from cli.home import Home, Settings
from cli.keyring import read_keys
from cli.options import GenesisOption, HomeOption, JsonOption, SimulatedOption, cid_option
from cli.sealed_files import read_bounded
from cli.workplace import genesis_meant, opened_home, wallet_key
from storage.cid import Cid
from vault.errors import InvalidReceipt, MalformedObject
from vault.policy import SIMULATED
from vault.receipt import FILE_BYTES_MAX, ReceiptFile, verified_receipt
from vault.receipt_check import verify_receipt_file
from vault.receipt_links import Basis, meant_manifests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from enclave.replay import ReplayEngine
    from vault.manifest import Manifest
    from vault.signing import SigningKey


def replay(
    file: Annotated[Path, typer.Argument(help="A receipt file, as coffer query saves it.")],
    owner: Annotated[
        list[str], typer.Option("--owner", help="A wallet whose datasets, sealed in this home, are opened; repeatable.")
    ],
    vectors: Annotated[
        list[str] | None,
        typer.Option(
            help="MANIFEST=FILE.npy: the vectors of a dataset's passages, float32, row by row; without them the "
            "passages are embedded anew."
        ),
    ] = None,
    within: Annotated[
        float, typer.Option(min=0, max=0.1, help="By how much scores may differ: for vectors embedded elsewhere.")
    ] = 0.0,
    storage: Annotated[str | None, typer.Option(help="An IPFS node's multiaddr, or a folder of blocks.")] = None,
    dao: GenesisOption = None,
    allow_simulated: SimulatedOption = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Verify a receipt, then search its datasets again from the committed vector, and compare byte for byte.

    Who owns some of the datasets replays those: whether what came of them is their best, and none better is missing.
    Exit 1 at the first thing that is not the same, named.
    """
    with reported():
        settings, _ = opened_home(home, storage=storage)
        genesis, judge = genesis_meant(settings, dao), wiring.appraiser(settings)
        given = _vectors_given(vectors or [])
        content = _content(file)
        keys = [wallet_key(settings, name) for name in owner]
        held: list[str] = []
        try:
            for link in verify_receipt_file(content, genesis=genesis, appraiser=judge, allow_simulated=allow_simulated):
                held.append(_held(link, is_json=json))
            for link in _replayed(settings, content, keys, given, within):
                held.append(_held(link, is_json=json))
        except InvalidReceipt as error:
            if json:
                show_json({"file": str(file), "replayed": False, "links": held, "wrong": str(error)})
            say_wrong(str(error), indent="  ")
            raise typer.Exit(FAILED) from error
        if json:
            show_json({"file": str(file), "replayed": True, "links": held, "wrong": None})
        else:
            say(f"{foreign(str(file))}: the answer is what these datasets give")
        if content.evidence.kind == SIMULATED:
            warn_simulated()


def _content(path: Path) -> ReceiptFile:
    try:
        return ReceiptFile.from_bytes(read_bounded(path, FILE_BYTES_MAX), bytes_max=FILE_BYTES_MAX)
    except MalformedObject as error:
        raise MalformedObject(f"{path} is not a whole receipt file: {error}") from error


def _held(link: str, *, is_json: bool) -> str:
    if not is_json:
        say_held(link, indent="  ")
    return link


def _replayed(
    settings: Settings,
    file: ReceiptFile,
    owners: Sequence[SigningKey],
    given: Mapping[Cid, NDArray[np.float32]],
    within: float,
) -> Iterator[str]:
    from enclave.replay import ReplayEngine, datasets_of, replayed

    receipt = verified_receipt(file.message, file.binding.receipt_key)
    manifests = meant_manifests(Basis.of(file), receipt.head)
    asked = datasets_of(file, manifests)
    if unknown := set(given) - set(asked):
        raise MalformedObject(f"the question was not asked of {min(unknown)}; leave its vectors out")
    engine = ReplayEngine(wiring.make_embedder(settings), wiring.index_maker(settings), wiring.open_storage(settings))
    opened = [cid for cid in asked if _open(settings, engine, manifests[cid], owners, given.get(cid))]
    if not opened:
        raise MalformedObject("none of these wallets owns a dataset of the question; name its owner with --owner")
    yield f"{len(opened)} of {len(asked)} datasets opened, as their owners committed to"
    yield from replayed(file, receipt, engine, asked=asked, opened=opened, within=within)


def _open(
    settings: Settings,
    engine: ReplayEngine,
    manifest: Manifest,
    owners: Sequence[SigningKey],
    vectors: NDArray[np.float32] | None,
) -> bool:
    """Open a dataset where its owner is here; say whether."""
    from enclave.found import Dataset

    for key in owners:
        if key.address == manifest.owner:
            path = Home(settings.home).data_key(manifest.dataset, manifest.version)
            engine.open_one(Dataset(manifest=manifest, key=read_keys(path, manifest, key).key), vectors)
            return True
    return False


def _vectors_given(written: Sequence[str]) -> dict[Cid, NDArray[np.float32]]:
    import numpy as np

    given: dict[Cid, NDArray[np.float32]] = {}
    for one in written:
        name, is_pair, path = one.partition("=")
        if not is_pair:
            raise MalformedObject(f"{one!r} is not MANIFEST=FILE.npy")
        try:
            given[cid_option(name)] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise MalformedObject(f"{path} is no .npy file of numbers") from error
    return given
