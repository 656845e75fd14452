"""The voting page in a real browser: connect, vote, change the vote, and whatever may go wrong with a wallet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.voting_page.shown import Page
from storage.cid import Cid
from tests.browser import chromium, tab
from tests.cli.conftest import Clock, Founded, described
from tests.cli.dao_steps import carried, closed, proposed, voted
from tests.cli.test_dao_guardians import guarded as guarded
from tests.cli.voting_page import Served, page_of, wallet_of
from tests.people import DAY_S, seeded
from vault.ballot import Proposal
from vault.charter import Charter
from vault.closing import BallotPage
from vault.decision import Decision
from vault.head import Head
from vault.machine import MachineKey
from vault.signing import SigningKey


@pytest.fixture
def served(dao: Founded) -> Iterator[Served]:
    with page_of(dao) as page:
        yield page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def said(page: Any, words: str) -> str:
    """Wait until the page says something with these words, and return all of it."""
    page.locator("#said", has_text=words).wait_for()
    return str(page.inner_text("#said"))


def connected(page: Any, served: Served, proposal: str) -> None:
    page.goto(f"{served.url}/proposals/{proposal}")
    page.click("#connect")
    page.locator("#standing", has_text="Your weight").wait_for()


def test_a_member_connects_votes_and_changes_the_vote(
    served: Served, browser: Any, enclave_file: Path, clock: Clock
) -> None:
    dao = served.dao
    proposal = proposed(dao, enclave_file)
    with tab(browser, wallet_of(dao, "alice")) as page:
        connected(page, served, proposal)
        assert page.inner_text("#standing") == "Your weight is 2. You have not answered yet."
        page.fill("#reason", "it pays <b>us</b>")
        page.click("button[data-support=for]")
        assert said(page, "Voted for").startswith("Voted for. 1 of 1 custodians hold it, enough that it is counted.")
        assert page.inner_text("#tally .key.for") == "for 2"
        page.click("button[data-support=against]")
        said(page, "Voted against")
        assert page.inner_text("#standing") == "Your weight is 2. Your last answer: against."
        page.reload()
        assert page.inner_text("tbody tr td:nth-child(2)") == "against"
        assert page.inner_text("tbody tr td:nth-child(4)") == "it pays <b>us</b>"
    clock.now += 4 * DAY_S
    assert "defeated: 0 for, 2 against, 0 abstain of 3" in dao.party.refused("dao", "queue", proposal)


def test_a_refused_signature_sends_nothing(served: Served, browser: Any, enclave_file: Path) -> None:
    proposal = proposed(served.dao, enclave_file)
    with tab(browser, wallet_of(served.dao, "alice", refuses=True)) as page:
        connected(page, served, proposal)
        page.click("button[data-support=for]")
        assert said(page, "refused") == "You refused in the wallet. Nothing was sent."
        assert page.is_enabled("button[data-support=for]")
    assert served.dao.party.json("dao", "tally", proposal)["for"] == 0


def test_a_wallet_on_another_chain_is_asked_to_switch(served: Served, browser: Any, enclave_file: Path) -> None:
    proposal = proposed(served.dao, enclave_file)
    wallet = wallet_of(served.dao, "alice", chain_id=137)
    with tab(browser, wallet) as page:
        connected(page, served, proposal)
        page.click("button[data-support=abstain]")
        said(page, "Voted abstain")
    assert wallet.chain_id == 1 and "wallet_switchEthereumChain" in wallet.asked


def test_a_wallet_that_stays_on_the_wrong_chain_signs_nothing(served: Served, browser: Any, enclave_file: Path) -> None:
    proposal = proposed(served.dao, enclave_file)
    wallet = wallet_of(served.dao, "alice", chain_id=137, knows_chains=(137,))
    with tab(browser, wallet) as page:
        page.goto(f"{served.url}/proposals/{proposal}")
        page.click("#connect")
        assert "on chain 137; this DAO's ballots are for chain 1" in said(page, "chain")
        assert page.is_disabled("button[data-support=for]")
    assert "eth_signTypedData_v4" not in wallet.asked


def test_an_expired_proposal_offers_no_answer(served: Served, browser: Any, enclave_file: Path, clock: Clock) -> None:
    proposal = proposed(served.dao, enclave_file)
    with tab(browser, wallet_of(served.dao, "alice")) as page:
        connected(page, served, proposal)
        clock.now += 4 * DAY_S
        page.click("button[data-support=for]")
        assert said(page, "takes no votes") == "this proposal takes no votes: it is closed"
        page.reload()
        assert page.inner_text(".state") == "closed" and page.query_selector("#ballot") is None


def test_a_stranger_is_told_that_it_has_no_weight(served: Served, browser: Any, enclave_file: Path) -> None:
    proposal = proposed(served.dao, enclave_file)
    with tab(browser, wallet_of(served.dao, "issuer")) as page:
        page.goto(f"{served.url}/proposals/{proposal}")
        page.click("#connect")
        assert "is no member of this DAO" in said(page, "no member")
        assert page.is_disabled("button[data-support=for]")


def test_without_a_wallet_the_page_says_what_to_do(served: Served, browser: Any, enclave_file: Path) -> None:
    proposal = proposed(served.dao, enclave_file)
    with tab(browser) as page:
        page.goto(f"{served.url}/proposals/{proposal}")
        assert "No wallet was found" in page.inner_text("#standing")
        assert page.is_disabled("#connect")


def test_everything_can_be_read_without_javascript(
    served: Served, browser: Any, enclave_file: Path, clock: Clock
) -> None:
    first = proposed(served.dao, enclave_file)
    carried(served.dao, clock, first)
    second = proposed(served.dao, enclave_file, price="price:\n  per_query: 999")
    with tab(browser, java_script_enabled=False) as page:
        page.goto(served.url)
        assert page.locator("article").count() == 2
        page.click(f"a[href='/proposals/{second}']")
        assert "999" in page.inner_text(".changes")
        assert "coffer dao ballot" in page.inner_text("#ballot noscript")
        page.goto(f"{served.url}/history")
        assert page.locator("ol.epochs > li").count() == 2


def test_the_browser_checks_hashes_and_signatures_down_to_the_charter(
    served: Served, browser: Any, enclave_file: Path, clock: Clock
) -> None:
    """A proposal's, two ballots' and a custodian's signature."""
    carried(served.dao, clock, proposed(served.dao, enclave_file), "alice", "bob")
    with tab(browser) as page:
        page.goto(f"{served.url}/history")
        page.wait_for_selector("#verified.done")
        told = page.inner_text("#verified")
        assert f"all 2 heads and what led to them, from the newest back to the charter {served.dao.genesis}" in told
        assert "checked all 4 signatures" in told
        assert page.locator(".tick.holds").count() == 2


def test_a_block_that_the_server_altered_is_noticed_in_the_browser(
    served: Served, browser: Any, enclave_file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried(served.dao, clock, proposed(served.dao, enclave_file))
    honest = served.page.block

    def altered(cid: Cid) -> bytes | None:
        body = honest(cid)
        return body if body is None or str(cid) == served.dao.genesis else body[:-1] + bytes([body[-1] ^ 1])

    monkeypatch.setattr(served.page, "block", altered)
    with tab(browser) as page:
        page.goto(f"{served.url}/history")
        page.wait_for_selector("#verified.warning")
        assert "has another hash" in page.inner_text("#verified")
        assert page.locator(".tick.broken").count() == 1


@pytest.fixture
def guarded_page(guarded: Founded) -> Iterator[Served]:
    with page_of(guarded) as page:
        yield page


def test_the_browser_checks_guardians_and_delegators_too(
    guarded_page: Served, browser: Any, enclave_file_of_guarded: Path, clock: Clock
) -> None:
    dao = guarded_page.dao
    dao.party.run("dao", "delegate", dao.addresses["bob"], "--wallet", "alice")
    proposal = proposed(dao, enclave_file_of_guarded)
    voted(dao, proposal, "bob", "for", "--reason", "ça va: “fair”")
    closed(dao, clock, proposal)
    clock.now += 2 * DAY_S
    dao.party.run("dao", "execute", proposal)
    policy = dao.party.json("dao", "show")["policies"][0]["policy"]
    for guardian in ("operator", "issuer"):
        dao.party.run("dao", "revoke", "policy", policy, "--guardian", guardian)
    dataset = ("--revoke", "dataset", "ab" * 32)
    carried_late(dao, clock, dao.party.json("dao", "propose", "--wallet", "alice", *dataset)["proposal"])
    with tab(browser) as page:
        page.goto(f"{guarded_page.url}/history")
        page.wait_for_selector("#verified.done")
        assert "all 5 heads" in page.inner_text("#verified")  # 1 + 3 + 2 + 3 signatures
        assert "checked all 9 signatures" in page.inner_text("#verified")


def carried_late(dao: Founded, clock: Clock, proposal: str) -> None:
    """Carry a proposal out where there is a timelock of two days."""
    voted(dao, proposal)
    closed(dao, clock, proposal)
    clock.now += 2 * DAY_S
    dao.party.run("dao", "execute", proposal)


@pytest.fixture
def enclave_file_of_guarded(guarded: Founded, tmp_path: Path) -> Path:
    return described(guarded, tmp_path)


Forged = dict[Cid, bytes]
MALLORY = SigningKey(seeded("mallory"))


def by_another_proposer(forged: Forged, served: Served, decision: Decision) -> Decision:
    """The proposer is a member, and somebody else signed."""
    domain = Charter.from_bytes(blocks_of(served)(Cid.parse(served.dao.genesis))).domain(decision.proposal.genesis)
    digest = domain.digest(Proposal.STRUCT, decision.proposal.message())
    return replace(decision, proposal=replace(decision.proposal, signature=MALLORY.sign(digest)))


def with_other_words(forged: Forged, served: Served, decision: Decision) -> Decision:
    return replace(decision, proposal=replace(decision.proposal, closes_at=decision.proposal.closes_at + 1))


def with_a_turned_vote(forged: Forged, served: Served, decision: Decision) -> Decision:
    """The page is another one, which no custodian named."""
    page = BallotPage.from_bytes(blocks_of(served)(decision.pages()[0]))
    turned = replace(page, supports=bytes((one + 1) % 3 for one in page.supports))
    forged[turned.cid()] = turned.encoded()
    closings = tuple(replace(one, pages=(turned.cid(),)) for one in decision.closings)
    return replace(decision, closings=closings)


def closed_by_a_stranger(forged: Forged, served: Served, decision: Decision) -> Decision:
    """Ballots that voters did not cast, and custodians that are none: all signed truly."""
    key = MachineKey(seeded("mallory"))
    return replace(
        decision, closings=tuple(replace(one, custodian=key.public).signed_by(key) for one in decision.closings)
    )


FORGERIES = {
    "the proposal is not signed by": by_another_proposer,
    "is not signed by 0x": with_other_words,
    "the closing is not signed by custodian": with_a_turned_vote,
    "no custodian of this DAO": closed_by_a_stranger,
}


def blocks_of(served: Served) -> Callable[[Cid], bytes]:
    def fetch(cid: Cid) -> bytes:
        body = Page.block(served.page, cid)
        assert body is not None
        return body

    return fetch


@pytest.mark.parametrize("said", [*FORGERIES, "is not what its cause leads to"])
def test_a_chain_whose_hashes_all_match_is_refused_without_its_signatures(
    served: Served, browser: Any, enclave_file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """Whoever serves the page can make any chain that hashes; it cannot sign."""
    carried(served.dao, clock, proposed(served.dao, enclave_file))
    told, fetch = served.page.epochs(), blocks_of(served)
    head = Head.from_bytes(fetch(Cid.parse(told["head"])))
    assert head.cause is not None
    forged: Forged = {}
    if said in FORGERIES:
        decision = FORGERIES[said](forged, served, Decision.from_bytes(fetch(head.cause)))
        forged[decision.cid()] = decision.encoded()
        fake = replace(head, cause=decision.cid())
    else:
        fake = replace(head, policies=())
    forged[fake.cid()] = fake.encoded()
    epochs = [{**told["epochs"][0], "head": str(fake.cid())}, *told["epochs"][1:]]
    monkeypatch.setattr(served.page, "block", lambda cid: forged.get(cid) or fetch(cid))
    monkeypatch.setattr(served.page, "epochs", lambda: told | {"head": str(fake.cid()), "epochs": epochs})
    with tab(browser) as page:
        page.goto(f"{served.url}/history")
        page.wait_for_selector("#verified.warning")
        assert said in page.inner_text("#verified")
        assert page.locator(".tick.broken").count() == 1


def test_foreign_text_is_shown_as_text(served: Served, browser: Any, enclave_file: Path) -> None:
    title = "<script>document.title=1</script>"
    proposal = proposed(served.dao, enclave_file, title=f"title: '{title}'")
    voted(served.dao, proposal, "alice", "for", "--reason", "<img src=x onerror=alert(1)>")
    with tab(browser) as page:
        page.goto(f"{served.url}/proposals/{proposal}")
        assert page.inner_text("h1") == title
        assert page.query_selector("main img") is None
