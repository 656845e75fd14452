"""Asking this machine for evidence: one file per interface. What they return is raw; bundling it is the caller's."""

from __future__ import annotations

from vault.errors import ServiceUnavailable


class AttesterUnavailable(ServiceUnavailable):
    """This machine gives no evidence of the kind asked for; the message says what to do about it."""
