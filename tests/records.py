"""Fixtures: empty records in SQLite and in a real PostgreSQL. A test module names this file in `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Cluster, NoPostgres, private_cluster
from vault.records.database import Records, open_records


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """A server of our own, or a skip that says why there is none."""
    try:
        with private_cluster() as cluster:
            yield cluster
    except NoPostgres as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=["sqlite", "postgresql"])
def records_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/records.db"
    cluster: Cluster = request.getfixturevalue("postgres_cluster")
    return cluster.create_database()


@pytest.fixture
def records(records_url: str) -> Iterator[Records]:
    """Open, empty records, of either kind."""
    with open_records(records_url) as records:
        yield records
