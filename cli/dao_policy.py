"""A policy from the file that a member wrote, judged before anybody votes on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cli import wiring
from cli.console import inputs_reported
from cli.dao_datasets import corpora_known, dataset_named
from cli.enclave_files import enclaves_from
from cli.home import Settings
from cli.options import cid_option
from cli.policy_file import Described, policy_from_yaml
from cli.sealed_files import read_bounded
from cli.strict_yaml import BYTES_MAX
from vault.errors import MalformedObject
from vault.policy import Policy
from vault.policy_check import require_adoptable

if TYPE_CHECKING:
    from vault.history import History


def policy_in(settings: Settings, history: History, file: Path) -> Policy:
    """Return the policy that a file describes.

    Raises: `MalformedObject` naming file and line; `InvalidDecision` where it could never admit anyone.
    """
    with inputs_reported():
        data = read_bounded(file, BYTES_MAX)

    def described(named: Path) -> Described:
        return enclaves_from([named if named.is_absolute() else file.parent / named])

    at = wiring.clock()
    try:
        policy = policy_from_yaml(
            data,
            genesis=history.genesis,
            charter_treasury=history.charter.treasury,
            at=at,
            resolve=lambda text: dataset_named(settings, history, cid_option(text)),
            enclave_file=described,
        )
    except MalformedObject as error:
        raise MalformedObject(f"{file}: {error}") from error
    require_sensible(settings, history, policy)
    return policy


def require_sensible(settings: Settings, history: History, policy: Policy) -> None:
    """Raise `InvalidDecision` where a policy could never admit anyone."""
    voting, at = history.charter.voting, wiring.clock()
    require_adoptable(
        policy,
        genesis=history.genesis,
        window=history.charter.window,
        takes_effect_at=at + voting.delay_s + voting.period_s + voting.timelock_s,
        at=at,
        production=settings.production,
        revoked=lambda scope, subject: history.head.revoked_since(scope, subject, history.head.epoch),
        corpora=corpora_known(settings, history, (policy,)),
    )
