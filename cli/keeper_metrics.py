"""What the keeper of copies counts, for Prometheus; it names the owner's places, and no dataset."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from vault.copies.model import Copy, CopyState
from vault.copies.status import DatasetCopies


class KeeperMetrics:
    """The counters of one keeper, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._copies = Gauge(
            "coffer_storage_copies", "Copies by place and state.", ["place", "state"], registry=self.registry
        )
        self._missing = Gauge(
            "coffer_storage_missing_copies",
            "Verified copies that are wanted and not there, over all datasets.",
            registry=self.registry,
        )
        self._unmet = Gauge(
            "coffer_storage_unmet_datasets", "Datasets with fewer verified copies than wanted.", registry=self.registry
        )
        self._oldest = Gauge(
            "coffer_storage_oldest_check_timestamp_seconds",
            "When the copy that waited longest was last verified.",
            registry=self.registry,
        )
        self._lies = Gauge(
            "coffer_storage_lies", "Wrong blocks that a place sent, ever.", ["place"], registry=self.registry
        )
        self._looks = Counter(
            "coffer_storage_looks", "Looks at copies, by place and what was found.", ["place", "state"],
            registry=self.registry,
        )  # fmt: skip

    def seen(self, copy: Copy) -> None:
        """Count one look."""
        self._looks.labels(copy.place, str(copy.state)).inc()

    def show(self, found: Sequence[DatasetCopies]) -> None:
        """Set the gauges to how all copies stand."""
        counts = Counts((copy.place, copy.state) for one in found for copy in one.copies)
        for place in {copy.place for one in found for copy in one.copies}:
            for state in CopyState:
                self._copies.labels(place, str(state)).set(counts[place, state])
        self._missing.set(sum(max(0, one.wanted - one.verified) for one in found))
        self._unmet.set(sum(not one.is_met for one in found))
        verified = [copy.verified_at for one in found for copy in one.copies if copy.verified_at is not None]
        self._oldest.set(min(verified, default=0))
        for one in found:
            for name, standing in one.standings.items():
                self._lies.labels(name).set(standing.lies)

    def serve(self, host: str, port: int) -> str:
        """Answer scrapes from a thread of its own, and return the address that it listens on."""
        server, _ = start_http_server(port, addr=host, registry=self.registry)
        return f"{host}:{server.server_port}"
