"""Collateral from a service is fetched once an hour, and what was fetched last bridges an outage."""

from __future__ import annotations

import pytest

from enclave.attestation.attesters.collateral import FRESH_S, FetchedCollateral
from vault.errors import ServiceUnavailable

URL = "https://pccs.example"


class Service:
    """A provisioning certification service, and the clock of whoever asks it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.is_up = True
        self.now = 1000.0

    def collateral(self) -> FetchedCollateral:
        return FetchedCollateral(URL, monotonic=lambda: self.now, fetch=self._fetch)

    def _fetch(self, url: str, quote: bytes) -> bytes:
        self.asked.append((url, quote))
        if not self.is_up:
            raise ServiceUnavailable("the service is down")
        return b"collateral %d" % len(self.asked)


def test_it_is_fetched_anew_once_an_hour() -> None:
    service = Service()
    collateral = service.collateral()
    assert collateral(b"first") == b"collateral 1"
    service.now += FRESH_S - 1
    assert collateral(b"second") == b"collateral 1"
    service.now += 1
    assert collateral(b"third") == b"collateral 2"
    assert service.asked == [(URL, b"first"), (URL, b"third")]


def test_the_last_one_bridges_an_outage_and_the_service_is_asked_again_each_time() -> None:
    service = Service()
    collateral = service.collateral()
    collateral(b"quote")
    service.now, service.is_up = service.now + FRESH_S, False
    assert [collateral(b"quote"), collateral(b"quote")] == [b"collateral 1"] * 2
    service.is_up = True
    assert (collateral(b"quote"), len(service.asked)) == (b"collateral 4", 4)


def test_where_none_was_ever_fetched_the_outage_is_told() -> None:
    service = Service()
    service.is_up = False
    with pytest.raises(ServiceUnavailable, match="down"):
        service.collateral()(b"quote")
