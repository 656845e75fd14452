"""Copies of what was deleted: their places are told to let go, and told again, until they have."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from storage.errors import StorageError
from vault.copies.model import Copy, CopyState, Place, Release
from vault.copies.notes import RecordedNotes
from vault.errors import VaultError

if TYPE_CHECKING:
    from vault.records.copies import CopyRecords

AGAIN_S: Final = 3600

_log = logging.getLogger("coffer.storage")


def let_go(records: CopyRecords, copy: Copy, opened: Callable[[], Place], *, at: int) -> Copy:
    """Have a place let go of a copy, and return it as leaving, with what is still waited for in its `fault`.

    Once the place has let go, the copy is forgotten and returned as gone; what stays all the same is in its `fault`.

    Args:
        opened: returns the place.
    Raises: RecordsUnavailable; StaleState: it was forgotten meanwhile.
    """
    leaving = records.change(copy.manifest, copy.place, state=CopyState.LEAVING, due_at=at + AGAIN_S)
    try:
        release = opened().let_go(RecordedNotes(records, copy.manifest, copy.place), at=at)
    except (StorageError, VaultError) as error:
        release = Release(waiting=str(error))
    if release.waiting:
        _log.warning("%s has not let go of %s: %s", copy.place, copy.manifest, release.waiting)
        return records.change(copy.manifest, copy.place, fault=release.waiting)
    _log.info("%s let go of %s", copy.place, copy.manifest)
    records.forget(copy.manifest, copy.place)
    return replace(leaving, state=CopyState.GONE, fault=release.stays)
