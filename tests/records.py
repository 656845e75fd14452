"""Fixtures: empty records in SQLite and in a real PostgreSQL. A test module names this file in `pytest_plugins`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.migrated import copy_empty_records
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


@pytest.fixture(scope="session")
def postgres_template(postgres_cluster: Cluster) -> str:
    """The URL of a database of empty records, to copy."""
    url = postgres_cluster.create_database()
    open_records(url).close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def records_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database of either kind: an empty one, or of empty records where a test asks for `records` too."""
    is_migrated = "records" in request.fixturenames
    if request.param == "sqlite":
        if is_migrated:
            copy_empty_records(tmp_path / "records.db")
        yield f"sqlite:///{tmp_path}/records.db"
        return
    cluster: Cluster = request.getfixturevalue("postgres_cluster")
    url = cluster.create_database(request.getfixturevalue("postgres_template") if is_migrated else None)
    yield url
    cluster.drop_database(url)


@pytest.fixture
def records(records_url: str) -> Iterator[Records]:
    """Open, empty records, of either kind."""
    with open_records(records_url) as records:
        yield records
