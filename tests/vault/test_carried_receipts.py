"""Receipts in an archive: sealed to who carries them, alike each time."""

from __future__ import annotations

import pytest

from storage.cid import DAG_CBOR, Cid
from vault.carrying import open_receipt, seal_receipt
from vault.errors import TamperedSegment
from vault.keys import SecretKey


class TestReceipts:
    KEY, MANIFEST = SecretKey(bytes(range(32))), Cid.of(DAG_CBOR, b"manifest")

    def test_a_receipt_is_sealed_alike_each_time_and_opens_with_its_key_alone(self) -> None:
        sealed = seal_receipt("1-0123456789ab.receipt", b"question and answer", self.KEY, self.MANIFEST)
        assert sealed == seal_receipt("1-0123456789ab.receipt", b"question and answer", self.KEY, self.MANIFEST)
        assert b"question" not in sealed
        assert open_receipt(sealed, self.KEY, self.MANIFEST) == ("1-0123456789ab.receipt", b"question and answer")
        for key, manifest in ((SecretKey(bytes(32)), self.MANIFEST), (self.KEY, Cid.of(DAG_CBOR, b"other"))):
            with pytest.raises(TamperedSegment):
                open_receipt(sealed, key, manifest)

    @pytest.mark.parametrize("place", [0, 31, 32, 100, -1])
    def test_one_changed_bit_is_noticed(self, place: int) -> None:
        sealed = bytearray(seal_receipt("1-0123456789ab.receipt", b"question", self.KEY, self.MANIFEST))
        sealed[place] ^= 1
        with pytest.raises(TamperedSegment):
            open_receipt(bytes(sealed), self.KEY, self.MANIFEST)

    @pytest.mark.parametrize("size", [0, 1, 31, 32, 47, 48])
    def test_what_is_too_short_is_refused(self, size: int) -> None:
        with pytest.raises(TamperedSegment):
            open_receipt(bytes(size), self.KEY, self.MANIFEST)
