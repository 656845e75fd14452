"""A custodian's part in deleting a dataset: its share is destroyed for good, and only the owner can order it (rule S3).

The order is signed by the owner's wallet over a fresh challenge, so an old one found somewhere does nothing. It is on
disk before the receipt is signed; the same order again gets another receipt, and a deposit of that share is refused
from then on.

Custodians hand orders on to one another, so one that was down, or was restored from a backup that has the share still,
destroys it once it hears of the order. What the backup itself holds is out of reach.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from storage.cid import CID_BYTES, Cid
from vault.challenges import Challenges
from vault.destruction import ORDER_BYTES_MAX, Destruction, DestructionReceipt, challenge_facts
from vault.errors import AccessDenied, InvalidSignature, MalformedObject
from vault.history import History
from vault.machine import BLANK
from vault.manifest import Manifest
from vault.station import Station

PAGE_ORDERS: Final = 500
PAGES_MAX: Final = 400


class Destroying:
    """Destroys shares for one custodian."""

    def __init__(
        self,
        station: Station,
        challenges: Challenges,
        *,
        require_caught_up: Callable[[History], None],
    ) -> None:
        self._keys, self._store, self._blobs = station.keys, station.store, station.blobs
        self._histories, self._clock = station.histories, station.clock
        self._challenges = challenges
        self._require_caught_up = require_caught_up

    def destroy(self, manifest: Manifest, order: Destruction) -> DestructionReceipt:
        """Destroy this custodian's share of a version's key, durably, and sign that it is gone.

        Raises: `AccessDenied` unless the manifest's owner ordered it of this custodian, over a challenge not used yet.
        """
        history = self._histories[manifest.genesis]
        self._require_caught_up(history)
        charter, own = history.charter, self._keys.signing
        domain = charter.domain(manifest.genesis)
        manifest.verify_owner(domain)
        order.verify(domain)
        if (order.manifest, order.owner, order.custodian) != (manifest.cid(), manifest.owner, own.public):
            raise AccessDenied("the order is not the manifest owner's, or not to this custodian")
        index = [custodian.key for custodian in charter.custodians].index(own.public)
        if index >= len(manifest.share_commitments):
            raise AccessDenied("the manifest does not commit to a share of this custodian")
        now = self._clock()
        self._challenges.spend(order.nonce, *challenge_facts(order.manifest, order.owner), at=now)
        destroyed_at = self._store.destroy_deposit(
            order.manifest, genesis=manifest.genesis, order=order.encoded(), at=now
        )
        return DestructionReceipt(
            custodian=own.public,
            genesis=manifest.genesis,
            manifest=order.manifest,
            index=index,
            commitment=manifest.share_commitments[index],
            order=order.cid().digest,
            was_held=destroyed_at is not None,
            destroyed_at=now if destroyed_at is None else destroyed_at,
            signature=BLANK,
        ).signed_by(own)

    def orders(self, genesis: Cid, after: bytes) -> tuple[list[Destruction], bytes]:
        """Return a page of orders carried out here, and the manifest after which the next begins; empty at the end.

        They are public: each names a manifest and its owner.
        """
        if len(after) not in (0, CID_BYTES):
            raise MalformedObject(f"a page begins after a manifest of {CID_BYTES} bytes, or at the beginning")
        found = self._store.destroyed(genesis, after, most=PAGE_ORDERS)
        following = found[-1][0] if len(found) == PAGE_ORDERS else b""
        return [Destruction.from_bytes(order, bytes_max=ORDER_BYTES_MAX) for _, order in found], following

    def hear(self, genesis: Cid, orders: Sequence[Destruction]) -> int:
        """Destroy the shares that other custodians were ordered to destroy; return how many were held here.

        Raises: `InvalidSignature` for an order that the manifest's owner did not sign; those before it are carried out.
        """
        history, heard = self._histories[genesis], 0
        held = self._store.kept(genesis.digest, {order.manifest for order in orders}).deposits
        for order in orders:
            if order.manifest not in held:
                continue
            manifest = Manifest.from_bytes(self._blobs.get(order.manifest))
            if (order.owner, manifest.genesis) != (manifest.owner, genesis):
                raise InvalidSignature(f"somebody else than its owner would have the key of {order.manifest} destroyed")
            order.verify(history.charter.domain(genesis))
            self._store.destroy_deposit(order.manifest, genesis=genesis, order=order.encoded(), at=self._clock())
            heard += 1
        return heard


def heard_from(
    page_after: Callable[[bytes], tuple[list[Destruction], bytes]], hear: Callable[[list[Destruction]], None]
) -> None:
    """Hand on what another custodian was ordered, page by page.

    Raises: `MalformedObject` for pages that lead back, or that have no end.
    """
    after = b""
    for _ in range(PAGES_MAX):
        orders, following = page_after(after)
        if len(orders) > PAGE_ORDERS:
            raise MalformedObject(f"a page has at most {PAGE_ORDERS} orders")
        hear(orders)
        if not following:
            return
        if following <= after:
            raise MalformedObject("a page of orders leads back to one before")
        after = following
    raise MalformedObject(f"a custodian's list of orders goes on after {PAGES_MAX} pages")
