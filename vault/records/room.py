"""How many records of a kind there may be, so that every list that a store returns is bounded."""

from __future__ import annotations

from sqlalchemy import ColumnElement, func
from sqlmodel import Session, select

from vault.errors import RecordsUnavailable
from vault.records.tables import Table


def require_room(session: Session, table: type[Table], *conditions: ColumnElement[bool] | bool, most: int) -> None:
    """Raise `RecordsUnavailable` where `most` rows already meet the conditions."""
    count = session.exec(select(func.count()).select_from(table).where(*conditions)).one()
    if count >= most:
        raise RecordsUnavailable(
            f"{table.__tablename__} already holds {count} such records, its limit: use another database for more;"
            " nothing was recorded"
        )
