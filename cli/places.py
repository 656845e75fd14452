"""The composition root of copies: from the settings' places to adapters, and the keeper over them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import cache, partial
from random import SystemRandom
from typing import TYPE_CHECKING

from cli import wiring
from cli.home import Home, Settings
from cli.place_settings import MAIN, PlaceSettings
from cli.tokens import token_of, variable_of
from cli.workplace import wallet_key
from storage.cid import Cid
from storage.errors import AccessRefused, BlockNotFound
from storage.model import Blobs
from vault.copies.model import Kind, Place
from vault.delivery import manifest_at
from vault.errors import MalformedObject
from vault.manifest import Manifest
from vault.signing import SigningKey, address_from

if TYPE_CHECKING:
    from vault.copies.keeping import Keeper, Plan
    from vault.records.database import Records

MICRO = 1_000_000


def named(settings: Settings, names: Sequence[str]) -> list[str]:
    """Return the keeping places that are meant: the main one, and those named, or all where none is."""
    for name in names:
        known = settings.places.get(name)
        if known is None and name != MAIN:
            listed = ", ".join([MAIN, *settings.places])
            raise MalformedObject(f"no place is called {name!r}; the settings have {listed}")
        if known is not None and not known.kind.keeps:
            raise MalformedObject(f"{name} is a gateway, for reading only; name a place that keeps a copy")
    chosen = names or [name for name, place in settings.places.items() if place.kind.keeps]
    return list(dict.fromkeys([MAIN, *chosen]))


def open_place(settings: Settings, name: str) -> Place:
    """Return a place where copies are kept."""
    from vault.copies.block_place import BlockPlace

    if name == MAIN:
        kind = Kind.IPFS if wiring.names_a_node(settings.storage) else Kind.DIRECTORY
        return BlockPlace(MAIN, kind, wiring.open_storage(settings))
    given = settings.places[name]
    match given.kind:
        case Kind.PINNING:
            return _pinning(settings, name, given)
        case Kind.FILECOIN:
            return _filecoin(settings, name, given)
    return BlockPlace(name, given.kind, wiring.open_blobs(given.kind, given.at))


def gateways(settings: Settings) -> dict[str, Blobs]:
    """Return the places for reading only, by name."""
    return {
        name: wiring.open_gateway(place.at, private=place.private)
        for name, place in settings.places.items()
        if place.kind is Kind.GATEWAY
    }


def make_keeper(
    settings: Settings, records: Records, *, plan: Plan | None = None, names: Sequence[str] | None = None
) -> Keeper:
    """Return the keeper of this home's copies, at all places or at those named."""
    from vault.copies.keeping import Keeper
    from vault.records.catalog import Catalog
    from vault.records.copies import CopyRecords

    catalog, places = Catalog(records), [open_place(settings, name) for name in names or named(settings, ())]
    readers = gateways(settings)

    def published(manifest: Cid) -> None:
        row = catalog.get(manifest)
        if row is not None and row.state != "published":
            catalog.mark_published(manifest)

    return Keeper(
        CopyRecords(records),
        places,
        manifest_of=cache(partial(_manifest, settings, records, places, list(readers.values()))),
        clock=wiring.clock,
        random=SystemRandom(),
        plan=plan,
        readers=readers,
        published=published,
    )


def _manifest(
    settings: Settings, records: Records, places: Sequence[Place], readers: Sequence[Blobs], cid: Cid
) -> Manifest:
    """Return a manifest from whichever place has it; a place that lies or is away is passed over."""
    from storage.racing import RacingBlobs
    from vault.copies.notes import RecordedNotes
    from vault.records.copies import CopyRecords

    copies = CopyRecords(records)
    everywhere = [place.reads(RecordedNotes(copies, cid, place.name)) for place in places]
    try:
        return manifest_at(cid, wiring.open_staging(settings), RacingBlobs([*everywhere, *readers]))
    except BlockNotFound as error:
        raise MalformedObject(f"no place has manifest {cid}") from error


def _pinning(settings: Settings, name: str, given: PlaceSettings) -> Place:
    from storage.pinning import PinningService
    from vault.copies.pin_place import PinPlace

    token = token_of(settings, name)
    if token is None:
        raise AccessRefused(f"place {name} needs a token: set {variable_of(name)}, or run: coffer storage token {name}")
    service = PinningService(given.at, token=token, allow_private=given.private)
    gateway = wiring.open_gateway(given.read, private=given.private)
    return PinPlace(name, service, gateway, origins=given.origins)


def _payer(settings: Settings, place: str, wallet: str) -> SigningKey:
    """Return the wallet that pays. Nobody is asked for its password, since nobody may be there."""
    if not settings.password:
        raise AccessRefused(f"place {place} pays with the wallet {wallet}; set COFFER_PASSWORD to its password")
    if not Home(settings.home).wallet(wallet).is_file():
        raise MalformedObject(
            f"place {place} pays with the wallet {wallet}, which is not there; make it with: coffer wallet new"
        )
    return wallet_key(settings, wallet)


def _filecoin(settings: Settings, name: str, given: PlaceSettings) -> Place:
    from storage.http_place import HttpPlace
    from storage.pdp import PdpProvider
    from storage.warm_storage import WarmStorage, data_set_of, prices_of
    from vault.copies.piece_notes import Account
    from vault.copies.piece_place import PiecePlace

    warm = WarmStorage(chain_id=given.chain_id, contract=address_from(given.contract))
    chain = HttpPlace(given.chain, name=f"chain {given.chain}", allow_private=given.private)
    key = cache(partial(_payer, settings, name, given.wallet))
    account = Account(
        warm=warm,
        payee=address_from(given.payee),
        key=key,
        find=lambda number: data_set_of(chain, warm, payer=key().address, client_data_set=number),
        prices=partial(prices_of, chain, warm),
        month_max=int(Decimal(given.month_max) * MICRO),
    )
    provider = PdpProvider(given.at, token=token_of(settings, name), allow_private=given.private)
    return PiecePlace(name, provider, account, spool=Home(settings.home).spool, clock=wiring.clock)
