"""What may wait until it is open, and what may not: one fact of harmless news is broken at a time (rules F4, O4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from enclave.changes import require_nothing_taken
from enclave.grounds import Grounds
from tests.builders import seeded, wallet
from tests.enclaves import Custodians, opening
from tests.versions import Versions, of_another_owner, versions
from vault.action import Scope
from vault.errors import StaleState
from vault.head import Revocation
from vault.lease import EMPTY_ANCHOR
from vault.lineage import lineage_id
from vault.manifest import Manifest


@pytest.fixture(scope="module")
def made() -> Versions:
    return versions()


@pytest.fixture(scope="module")
def served(made: Versions, tmp_path_factory: pytest.TempPathFactory) -> Grounds:
    with Custodians(made.world, tmp_path_factory.mktemp("custodians")) as custodians:
        return opening(made.world, custodians.local()).open(EMPTY_ANCHOR)[0]


@pytest.fixture(scope="module")
def second(made: Versions) -> Manifest:
    return made.next().manifest


def naming(served: Grounds, *manifests: Manifest) -> Grounds:
    """Return leases over these manifests; what is judged are the manifests themselves."""
    return replace(served, manifests=manifests)


def revoking(grounds: Grounds, scope: Scope, subject: bytes) -> Grounds:
    """Return the grounds with one more revocation in the head; what it ends is still listed."""
    history = grounds.history
    revocation = Revocation(scope=scope, subject=subject, epoch=history.head.epoch + 1)
    head = replace(history.head, revocations=(*history.head.revocations, revocation))
    return replace(grounds, history=replace(history, head=head))


class TestWaits:
    def test_a_newer_version(self, served: Grounds, second: Manifest) -> None:
        require_nothing_taken(served, naming(served, second))

    def test_a_further_dataset(self, made: Versions, served: Grounds) -> None:
        require_nothing_taken(served, naming(served, *served.manifests, of_another_owner(made.world).manifest))

    def test_a_further_policy(self, served: Grounds, second: Manifest) -> None:
        history = served.history
        policy = replace(next(iter(history.policies.values())), title="Another")
        more = replace(
            history,
            policies={**history.policies, policy.cid(): policy},
            adopted={**history.adopted, policy.cid(): history.head.epoch},
        )
        require_nothing_taken(served, replace(naming(served, second), history=more))

    def test_what_was_revoked_of_somebody_else(self, made: Versions, served: Grounds, second: Manifest) -> None:
        """A licensee is refused by the newest head, whatever is served; the rest names nothing that is served."""
        news = naming(served, second)
        other = lineage_id(made.world.genesis, wallet("another owner").address, seeded("dataset"))
        for scope, subject in (
            (Scope.LICENSEE, wallet("licensee").address),
            (Scope.DATASET, other),
            (Scope.POLICY, b"another policy"),
            (Scope.MEASUREMENT, seeded("another measurement", 48)),
        ):
            news = revoking(news, scope, subject)
        require_nothing_taken(served, news)


BROKEN: dict[str, Callable[[Versions, Grounds, Manifest], Grounds]] = {
    "a dataset is gone": lambda made, served, _: naming(served, of_another_owner(made.world).manifest),
    "none is left": lambda _, served, __: naming(served),
    "the same version, another manifest": lambda _, served, second: naming(
        served, replace(second, version=1, previous=None)
    ),
    "another owner's of that id": lambda _, served, second: naming(
        served, replace(second, owner=wallet("mallory").address)
    ),
    "another dataset of that owner": lambda _, served, second: naming(served, replace(second, dataset=seeded("x"))),
    "its policy is gone": lambda _, served, second: replace(
        naming(served, second), history=replace(served.history, policies={}, adopted={})
    ),
    "its policy was taken back and adopted anew": lambda _, served, second: replace(
        naming(served, second),
        history=replace(served.history, adopted={cid: epoch + 1 for cid, epoch in served.history.adopted.items()}),
    ),
    "the DAO was revoked": lambda _, served, second: revoking(naming(served, second), Scope.DAO, b""),
    "its dataset was": lambda made, served, second: revoking(
        naming(served, second), Scope.DATASET, lineage_id(made.world.genesis, second.owner, second.dataset)
    ),
    "its policy was": lambda made, served, second: revoking(
        naming(served, second), Scope.POLICY, made.world.policy.cid().binary
    ),
    "a measurement of its policy was": lambda made, served, second: revoking(
        naming(served, second), Scope.MEASUREMENT, made.world.policy.tees[0].measurements()[0]
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_one_wrong_fact_is_enough_to_stop(made: Versions, served: Grounds, second: Manifest, broken: str) -> None:
    with pytest.raises(StaleState):
        require_nothing_taken(served, BROKEN[broken](made, served, second))


def test_what_was_revoked_before_stops_nothing(served: Grounds, second: Manifest, tmp_path: Path) -> None:
    measurement = next(iter(served.history.policies.values())).tees[0].measurements()[0]
    before = revoking(served, Scope.MEASUREMENT, measurement)
    require_nothing_taken(before, replace(before, manifests=(second,)))
