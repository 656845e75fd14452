"""Attacks on what a policy limits: budgets reset by fresh keys, caps crossed, credit overdrawn, licenses self-made."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from tests import builders
from tests.builders import resigned, wallet
from tests.deployment import deployed
from tests.enclaves import PRICE, credential, license_of, world
from tests.policies import ANYONE, FIRST, SECOND, own_credential, self_licensed, serving, two_owners
from vault.action import Scope
from vault.envelope import Passage, passage_commitment, passage_salts
from vault.errors import (
    AccessDenied,
    BudgetExhausted,
    CreditExhausted,
    InvalidReceipt,
    InvalidSignature,
    Revoked,
    VaultError,
)
from vault.licensees import SHARED_BUDGET, Licensees
from vault.output_rules import OutputRules, Redaction
from vault.question import PLAIN
from vault.receipt import redacted_commitment, verified_receipt
from vault.receipt_check import verify_answer, verify_receipt_file
from vault.royalty import owner_account, treasury_account

WORDS = ("anchor", "beacon", "cable", "dinghy")
SYBILS = tuple(wallet(f"sybil {n}") for n in range(5))


class TestFreshKeys:
    """Rule O2: strangers' keys cost nothing, so all of them have one budget."""

    def test_a_new_key_does_not_bring_a_new_budget(self, tmp_path: Path) -> None:
        setting = world(texts=FIRST, policy=ANYONE | {"passages_max": 2, "queries_per_minute": 1000})
        seen: set[str] = set()
        refused = 0
        with deployed(tmp_path, setting) as deployment:
            for key in SYBILS:
                deployment.add_credit(10_000, key)
                with deployment.client(own_credential(setting, key)) as client:
                    for word in WORDS:
                        try:
                            answer = client.search(word, k=1)
                        except BudgetExhausted as error:
                            assert "together" in str(error)
                            refused += 1
                        else:
                            seen |= {result.passage.text for result in answer.results}
            assert len(seen) == 2
            assert refused == len(SYBILS) * len(WORDS) - 2
            assert deployment.enclave.instance.meter().books.seen_count(SHARED_BUDGET) == 2

    def test_who_has_not_paid_takes_up_no_session(self, tmp_path: Path) -> None:
        setting = world(policy=ANYONE)
        with deployed(tmp_path, setting) as deployment:
            asking = own_credential(setting, wallet("poor"))
            with pytest.raises(CreditExhausted, match="add credit"):
                deployment.client(asking)
            assert not deployment.enclave.service._admission._sessions

    def test_the_budgets_of_the_licensed_are_their_own(self, tmp_path: Path) -> None:
        setting = world(texts=FIRST, policy={"passages_max": 2})
        with deployed(tmp_path, setting) as deployment:
            for key in SYBILS[:2]:
                deployment.add_credit(10_000, key)
                with deployment.client(credential(setting, key)) as client:
                    assert len(client.search("rope", k=2).results) == 2
                    with pytest.raises(BudgetExhausted, match="the license has been shown all 2"):
                        client.search("rope", k=1)


class TestSelfMadeLicenses:
    def test_one_does_nothing_where_the_issuer_grants(self, tmp_path: Path) -> None:
        setting = world()
        with deployed(tmp_path, setting) as deployment:
            deployment.add_credit(10_000, SYBILS[0])
            with pytest.raises(AccessDenied, match="not granted by the policy's issuer"):
                deployment.client(own_credential(setting, SYBILS[0]))

    def test_nobody_signs_anothers_where_licensees_sign_their_own(self, tmp_path: Path) -> None:
        setting = world(policy={"licensees": Licensees.listed([SYBILS[0].address])})
        with deployed(tmp_path, setting) as deployment:
            with pytest.raises(AccessDenied, match="sign their own"):
                deployment.client(credential(setting, SYBILS[0]))  # the usual issuer's
            with pytest.raises(AccessDenied, match="not on the policy's list"):
                deployment.client(own_credential(setting, SYBILS[1]))
            stolen = replace(self_licensed(setting, SYBILS[0]), signature=self_licensed(setting, SYBILS[1]).signature)
            with pytest.raises(InvalidSignature):
                deployment.client(credential(setting, SYBILS[0], license=stolen))
            deployment.add_credit(10_000, SYBILS[0])
            with deployment.client(own_credential(setting, SYBILS[0])) as client:
                assert client.search("tide", k=1).results

    @pytest.mark.parametrize("kind", ["listed", "anyone"])
    def test_signing_anew_does_not_undo_a_revocation(self, tmp_path: Path, kind: str) -> None:
        key = SYBILS[0]
        who = Licensees.anyone() if kind == "anyone" else Licensees.listed([key.address])
        before = world(policy={"licensees": who})
        bundle = builders.carried(before.history, builders.revoking(Scope.LICENSEE, key.address))
        setting = replace(before, history=builders.published(before.blobs, before.history, bundle))
        with deployed(tmp_path, setting) as deployment:
            deployment.add_credit(10_000, key)
            renewed = own_credential(setting, key, epoch=setting.history.head.epoch)
            with pytest.raises(Revoked):
                deployment.client(renewed)

    def test_an_issuer_may_license_anew_whom_the_dao_revoked(self, tmp_path: Path) -> None:
        before = world()
        bundle = builders.carried(before.history, builders.revoking(Scope.LICENSEE, wallet("licensee").address))
        setting = replace(before, history=builders.published(before.blobs, before.history, bundle))
        with deployed(tmp_path, setting) as deployment:
            deployment.add_credit(10_000)
            with pytest.raises(Revoked):
                deployment.client(credential(setting, license=license_of(before)))
            with deployment.client(credential(setting)) as client:
                assert client.search("tide", k=1).results


class TestShares:
    def test_no_owner_is_seen_beyond_its_cap_whatever_is_asked(self, tmp_path: Path) -> None:
        with serving(tmp_path, two_owners(owner_bps=5_000)) as deployment:
            deployment.add_credit(100_000)
            seen: set[str] = set()
            with deployment.client() as client, pytest.raises(BudgetExhausted, match="of every dataset"):
                for _ in range(3):
                    for text in (*FIRST, *SECOND, "rope", "sail"):
                        seen |= {result.passage.text for result in client.search(text, k=3).results}
            assert (len(seen & set(FIRST)), len(seen & set(SECOND))) == (2, 2)

    def test_nor_a_dataset_beyond_its_share(self, tmp_path: Path) -> None:
        with serving(tmp_path, two_owners(corpus_bps=2_500)) as deployment:
            deployment.add_credit(100_000)
            with deployment.client() as client:
                first = client.search("rope anchor", k=4)
                assert (first.is_partial, len(set(FIRST) & {one.passage.text for one in first.results})) == (True, 1)
                seen = {one.passage.text for one in first.results}
                with pytest.raises(BudgetExhausted):
                    for text in (*FIRST, *SECOND):
                        seen |= {one.passage.text for one in client.search(text, k=4).results}
            assert (len(seen & set(FIRST)), len(seen & set(SECOND))) == (1, 1)

    def test_a_share_of_nothing_refuses_before_anything_is_searched(self, tmp_path: Path) -> None:
        with deployed(tmp_path, world(policy={"owner_bps": 1})) as deployment:  # of three passages
            deployment.add_credit(1_000)
            with deployment.client() as client, pytest.raises(BudgetExhausted):
                client.search("tide", k=1)
            assert deployment.enclave.engine.searches == 0
            assert deployment.licensee_credit(wallet("licensee")) == 1_000

    def test_an_exhausted_dataset_is_left_out_and_said_so(self, tmp_path: Path) -> None:
        with serving(tmp_path, two_owners(corpus_bps=2_500)) as deployment:
            deployment.add_credit(10_000)
            with deployment.client() as client:
                client.search("rope anchor", k=1)
                answer = client.search("rope anchor", k=1)
            assert answer.is_partial
            assert {one.passage.text for one in answer.results} <= set(SECOND)


class TestPrices:
    def test_each_passage_that_leaves_is_charged(self, tmp_path: Path) -> None:
        with deployed(tmp_path, world(policy={"price_per_passage": 7})) as deployment:
            deployment.add_credit(1_000)
            with deployment.client() as client:
                answer = client.search("tide", k=2)
            assert answer.receipt.price == PRICE + 14
            assert deployment.licensee_credit(wallet("licensee")) == 1_000 - PRICE - 14
            links = list(
                verify_receipt_file(
                    answer.file, genesis=deployment.world.genesis, appraiser=deployment.appraiser, allow_simulated=True
                )
            )
            assert any(f"price {PRICE + 14}" in link for link in links)

    def test_the_largest_answer_has_to_be_covered_though_less_is_charged(self, tmp_path: Path) -> None:
        with deployed(tmp_path, world(policy={"price_per_passage": 100})) as deployment:  # three passages there are
            deployment.add_credit(1_000)
            with deployment.client() as client:
                with pytest.raises(CreditExhausted, match="price is 1100"):
                    client.search("tide", k=10)
                assert client.search("tide", k=9).receipt.price == 400
            assert deployment.licensee_credit(wallet("licensee")) == 600

    @pytest.mark.parametrize("bound", ["credit", "spend cap"])
    def test_questions_at_once_do_not_overdraw(self, tmp_path: Path, bound: str) -> None:
        """Credit or cap for two answers of two passages; five are asked while all searches wait."""
        setting = world(policy={"price_per_passage": 50, "queries_per_minute": 1000})
        credit, cap = (450, 10_000) if bound == "credit" else (10_000, 450)
        with deployed(tmp_path, setting) as deployment, ThreadPoolExecutor(5) as pool:
            deployment.add_credit(credit)
            asking = credential(setting, spend_cap=cap)
            clients = [deployment.client(asking) for _ in range(5)]
            deployment.enclave.engine.hold()
            asked = [pool.submit(client.search, "tide", k=2) for client in clients]
            deployment.until(lambda: sum(one.done() for one in asked) == 3)
            assert deployment.enclave.service.under_way == 2
            deployment.enclave.on_loop(deployment.enclave.engine.let_go)
            outcomes = [one.exception() for one in asked]
            assert sum(isinstance(error, CreditExhausted) for error in outcomes) == 3
            assert deployment.licensee_credit(wallet("licensee")) == credit - 400
            for client in clients:
                client.close()

    def test_what_was_held_is_free_again_once_an_answer_failed(self, tmp_path: Path) -> None:
        with deployed(tmp_path, world(policy={"price_per_passage": 100})) as deployment:
            deployment.add_credit(300)
            with deployment.client() as client:
                with pytest.raises(VaultError):
                    client.search("tide", k=11)
                assert client.search("tide", k=2).receipt.price == 300


class TestOwnersBehindAnAnswer:
    RULES = OutputRules(owners_min=2, score_decimals=3, redacts=())

    def test_with_too_few_nothing_leaves_and_the_question_is_paid(self, tmp_path: Path) -> None:
        setting = two_owners(output=self.RULES, price_per_passage=50)
        with serving(tmp_path, setting) as deployment:
            deployment.add_credit(10_000)
            with deployment.client() as client:
                alone, both = client.search("rope", k=3), client.search("anchor", k=2)
            policy = deployment.world.policy
            assert (alone.results, alone.is_partial, alone.receipt.price) == ((), True, PRICE)
            assert alone.receipt.budget_left == policy.passages_max
            assert {one.passage.text for one in both.results} == {"rope anchor", "sail anchor"}
            assert both.receipt.price == PRICE + 100
            accounts = [owner_account(wallet(owner).address, "USDC") for owner in ("owner", "second owner")]
            assert sum(map(deployment.balance, accounts)) == 170  # of `both` alone
            assert deployment.balance(treasury_account(policy.treasury, "USDC")) == 95 + 20
            assert sum(deployment.enclave.instance.meter().books.balances().values()) == 0
            list(
                verify_receipt_file(
                    alone.file, genesis=deployment.world.genesis, appraiser=deployment.appraiser, allow_simulated=True
                )
            )

    def test_nobody_asks_for_fewer_passages_than_owners(self, tmp_path: Path) -> None:
        with serving(tmp_path, two_owners(output=self.RULES)) as deployment:
            deployment.add_credit(10_000)
            with deployment.client() as client, pytest.raises(AccessDenied, match="2 … 10"):
                client.search("anchor", k=1)

    def test_neighbors_do_not_stand_for_owners(self, tmp_path: Path) -> None:
        """One hit and its neighbors are of one owner: such an answer would be empty, and paid for."""
        with serving(tmp_path, two_owners(output=self.RULES)) as deployment:
            deployment.add_credit(10_000)
            with deployment.client() as client:
                with pytest.raises(AccessDenied, match="neighbors are their passage's owner's"):
                    client.search("anchor", k=1, options=replace(PLAIN, neighbors=1))
                assert client.account().credit == 10_000
                assert client.search("anchor", k=2, options=replace(PLAIN, neighbors=1)).results

    def test_scores_keep_no_more_decimals_than_allowed(self, tmp_path: Path) -> None:
        with serving(tmp_path, two_owners(output=self.RULES)) as deployment:
            deployment.add_credit(10_000)
            with deployment.client() as client:
                scores = [one.score for one in client.search("anchor", k=2).results]
            assert scores == [round(score, 3) for score in scores]
            assert all(scores)


class TestRedaction:
    RULES = OutputRules(owners_min=1, score_decimals=2, redacts=(Redaction.EMAIL, Redaction.PHONE))
    TEXTS = ("harbor master ann\u200b@port.example or +44 20 7946 0958", "harbor lights at noon")

    def test_what_identifies_people_stays_inside_and_the_receipt_still_proves_the_passage(self, tmp_path: Path) -> None:
        setting = world(texts=self.TEXTS, policy={"output": self.RULES})
        with deployed(tmp_path, setting) as deployment:
            deployment.add_credit(10_000)
            with deployment.client() as client:
                answer = client.search("harbor master", k=2)
            said = {one.passage.text: one.is_redacted for one in answer.results}
            assert said == {"harbor master [e-mail address] or [phone number]": True, "harbor lights at noon": False}
            links = list(
                verify_receipt_file(
                    answer.file, genesis=setting.genesis, appraiser=deployment.appraiser, allow_simulated=True
                )
            )
            assert any("1 of them redacted" in link for link in links)

    def test_the_salt_that_opens_the_owners_commitment_never_leaves(self, tmp_path: Path) -> None:
        """With it, and a phone number missing, anyone could try all numbers."""
        setting = world(texts=self.TEXTS, policy={"output": self.RULES})
        with deployed(tmp_path, setting) as deployment:
            deployment.add_credit(10_000)
            with deployment.client() as client:
                file = client.search("harbor master", k=2).file
        salts = list(islice(passage_salts(setting.dataset.data_key), 2))
        sent = {opened.salt for opened in file.passages}
        assert salts[0] not in sent
        assert salts[1] in sent
        assert passage_commitment(salts[0], setting.dataset.encoded[0]) in {
            proof.commitment for proof in verified_receipt(file.message, file.binding.receipt_key).passages
        }

    def test_a_repeated_answer_is_redacted_and_rounded_the_same(self, tmp_path: Path) -> None:
        with deployed(tmp_path, world(texts=self.TEXTS, policy={"output": self.RULES})) as deployment:
            deployment.add_credit(10_000)
            with deployment.client() as client:
                first = client.search("harbor master", k=2, request_id=bytes(32), salt=bytes(32))
                again = client.search("harbor master", k=2, request_id=bytes(32), salt=bytes(32))
            assert again.is_repeat
            assert again.results == first.results

    @pytest.mark.parametrize("fact", ["body", "salt", "redacted", "unredacted"])
    def test_one_wrong_fact_about_a_redacted_passage_is_enough(self, tmp_path: Path, fact: str) -> None:
        setting = world(texts=self.TEXTS, policy={"output": self.RULES})
        with deployed(tmp_path, setting) as deployment:
            deployment.add_credit(10_000)
            with deployment.client() as client:
                file = client.search("harbor master", k=1).file
            key, (opened,) = deployment.enclave.keys.receipt, file.passages
            receipt = verified_receipt(file.message, key.public)
            (proof,) = receipt.passages
            if fact in ("redacted", "unredacted"):
                wrong = replace(proof, redacted=bytes(32) if fact == "redacted" else None)
                changed = replace(file, message=replace(receipt, passages=(wrong,)).signed(key))
            else:
                other = Passage("0.txt", 0, 3, "ann").encoded() if fact == "body" else bytes(32)
                changed = replace(file, passages=(replace(opened, **{fact: other}),))
            with pytest.raises(InvalidReceipt, match="was changed"):
                verify_answer(changed, verified_receipt(changed.message, key.public), genesis=setting.genesis)

    def test_a_receipt_may_not_say_redacted_where_the_policy_redacts_nothing(self, tmp_path: Path) -> None:
        with deployed(tmp_path) as deployment:
            deployment.add_credit(10_000)
            with deployment.client() as client:
                file = client.search("tide", k=1).file
            key, other = deployment.enclave.keys.receipt, Passage("0.txt", 0, 3, "Lie").encoded()
            receipt = verified_receipt(file.message, key.public)
            lied = replace(receipt.passages[0], redacted=redacted_commitment(bytes(32), other))
            changed = replace(
                file,
                message=replace(receipt, passages=(lied,)).signed(key),
                passages=(replace(file.passages[0], salt=bytes(32), body=other),),
            )
            with pytest.raises(InvalidReceipt, match="the policy redacts nothing"):
                verify_answer(changed, verified_receipt(changed.message, key.public), genesis=deployment.world.genesis)


def test_a_license_of_one_kind_of_policy_is_nothing_under_another(tmp_path: Path) -> None:
    """The same DAO, one policy for anyone: a license under the first names the first, and stays there."""
    before = world()
    public = builders.policy(
        before.genesis,
        title="Public",
        licensees=Licensees.anyone(),
        datasets=before.policy.datasets,
        tees=before.policy.tees,
        configurations=before.policy.configurations,
    )
    bundle = builders.carried(before.history, builders.adopting(public), public)
    setting = replace(before, history=builders.published(before.blobs, before.history, bundle))
    with deployed(tmp_path, setting) as deployment:
        deployment.add_credit(10_000, SYBILS[0])
        own = self_licensed(setting, SYBILS[0])
        with pytest.raises(AccessDenied):
            deployment.client(credential(setting, SYBILS[0], license=own))
        public_license = resigned(setting.history, SYBILS[0], own, policy=public.cid())
        asking = credential(setting, SYBILS[0], license=public_license)
        with deployment.client(asking) as client:
            assert client.search("tide", k=1).results
