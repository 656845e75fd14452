"""PostgreSQL, with a bound on every wait, and one writer at a time about a subject."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from sqlalchemy import URL, BigInteger, Connection, Engine, create_engine, func, literal
from sqlmodel import Session, select

from vault.errors import RecordsUnavailable

STATEMENT_S_MAX: Final = 60


def postgres_engine(address: URL, *, wait_s: int, connections: int) -> Engine:
    """Return the engine for a server; what the URL's own query sets stands, save the bounds and durability.

    Raises: RecordsUnavailable: the query names an option that PostgreSQL does not know.
    """
    from psycopg import ProgrammingError  # here, so that who keeps to SQLite needs no driver
    from psycopg.conninfo import make_conninfo

    try:
        make_conninfo(**dict.fromkeys(address.query, ""))
    except ProgrammingError as error:
        raise RecordsUnavailable(
            f"the records URL has an {str(error).strip()}: correct what follows its question mark"
        ) from error
    settings = (
        f"{address.query.get('options', '')} -c synchronous_commit=on -c lock_timeout={wait_s}s"
        f" -c statement_timeout={STATEMENT_S_MAX}s -c idle_in_transaction_session_timeout={STATEMENT_S_MAX}s"
    )
    usual = {
        "connect_timeout": wait_s,
        "tcp_user_timeout": STATEMENT_S_MAX * 1000,
        "application_name": "coffer",
    }
    return create_engine(
        address.difference_update_query(["options"]),
        connect_args={
            "options": settings,
            **{name: value for name, value in usual.items() if name not in address.query},
        },
        hide_parameters=True,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=wait_s,
        pool_pre_ping=True,  # a restarted server costs no caller an error
    )


def take_turn(session: Session | Connection, subject: bytes) -> None:
    """Wait until no other transaction about `subject` is open; ours holds the turn until it ends.

    Two subjects of one hash wait for one another, and no harm is done.
    """
    turn = int.from_bytes(sha256(subject).digest()[:8], "big", signed=True)
    session.execute(select(func.pg_advisory_xact_lock(literal(turn, BigInteger))))
