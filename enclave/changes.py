"""Whether serving may go on while other datasets are opened: only where nothing was taken away (rules F4, O4).

New versions and further datasets may wait until they are open. What the DAO dropped or revoked does not wait.
"""

from __future__ import annotations

from enclave.grounds import Grounds
from vault.action import Scope
from vault.errors import StaleState
from vault.history import History, subjects_of
from vault.manifest import Manifest


def require_nothing_taken(served: Grounds, newest: Grounds) -> None:
    """Raise `StaleState` unless all that is served is still there, or has a newer version, under the same policies."""
    if any(not _is_kept(manifest, newest) for manifest in served.manifests):
        raise StaleState("a dataset is not served any more; opening again")
    before, after = served.history, newest.history
    if any(after.adopted.get(policy) != epoch for policy, epoch in before.adopted.items()):
        raise StaleState("a policy was dropped, revoked or adopted anew; opening again")
    if _is_revoked(before, after):
        raise StaleState("the DAO revoked something that is served; opening again")


def _is_kept(manifest: Manifest, newest: Grounds) -> bool:
    """Say whether a manifest, or a later one of the same dataset, is among those leased."""
    return any(
        one.cid() == manifest.cid()
        or ((one.owner, one.dataset) == (manifest.owner, manifest.dataset) and one.version > manifest.version)
        for one in newest.manifests
    )


def _is_revoked(before: History, after: History) -> bool:
    """Say whether what a policy rests on was revoked between two heads; licensees are judged by the newest one."""
    named = {subject for policy in before.policies.values() for subject in subjects_of(policy)}
    news = set(after.head.revocations).difference(before.head.revocations)
    return any(one.scope is Scope.DAO or (one.scope, one.subject) in named for one in news)
