"""A private PostgreSQL cluster for tests: in a temporary folder, on a Unix socket only, gone when the tests end."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

START_S_MAX = 60


class NoPostgres(Exception):
    """PostgreSQL's server programs are not here, or cannot run; the message says why."""


@dataclass(frozen=True)
class Cluster:
    folder: Path
    password: str

    def url(self, database: str, *, password: str | None = None) -> str:
        return f"postgresql+psycopg://coffer:{password or self.password}@/{database}?host={self.folder}"

    def create_database(self, like: str | None = None) -> str:
        """Return the URL of a database of its own: empty, or a copy of one whose URL is given and nobody uses."""
        template = make_url(like).database if like else "template1"
        name = f"test_{secrets.token_hex(8)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Give back the room of a database, whoever is still connected to it."""
        self._run(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        with psycopg.connect(
            host=str(self.folder), user="coffer", password=self.password, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement.encode())


@contextmanager
def private_cluster() -> Iterator[Cluster]:
    """Run a cluster with its usual durability. Raises `NoPostgres` where there is none to run."""
    programs = _programs()
    identity = _identity()
    with tempfile.TemporaryDirectory(prefix="coffer-postgres-") as name:
        folder, data = Path(name), Path(name) / "data"
        password = folder / "password"
        password.write_text(secrets.token_hex(16))
        for path in (folder, password):
            if identity:
                os.chown(path, identity["user"], identity["group"])

        def run(program: str, *arguments: str) -> None:
            subprocess.run(  # noqa: S603  # found by us, with arguments of ours
                [programs / program, *arguments],
                cwd=folder,
                check=True,
                timeout=START_S_MAX,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                **identity,
            )

        run(
            "initdb", "--no-sync", "--username=coffer", f"--pwfile={password}", "--auth=scram-sha-256",
            "--encoding=UTF8", "--no-locale", f"--pgdata={data}",
        )  # fmt: skip
        settings = (
            f"-c listen_addresses='' -c unix_socket_directories={folder} -c shared_buffers=16MB -c max_wal_size=128MB"
        )
        try:
            run("pg_ctl", "start", "--wait", f"--pgdata={data}", f"--log={folder}/log", f"--options={settings}")
            yield Cluster(folder, password.read_text())
        finally:
            if (data / "postmaster.pid").exists():
                run("pg_ctl", "stop", "--wait", "--mode=immediate", f"--pgdata={data}")


def _programs() -> Path:
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name, reverse=True)
    if found := shutil.which("initdb"):
        candidates.append(Path(found).parent)
    if config := shutil.which("pg_config"):
        told = subprocess.run([config, "--bindir"], check=True, capture_output=True, text=True, timeout=10)  # noqa: S603
        candidates.append(Path(told.stdout.strip()))
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    raise NoPostgres("PostgreSQL's initdb and pg_ctl are not installed")


def _identity() -> dict[str, Any]:
    """Return whom to run as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    try:
        account = pwd.getpwnam("postgres")
    except KeyError:
        raise NoPostgres("these tests run as root, and there is no postgres account to run the server as") from None
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
