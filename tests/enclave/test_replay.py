"""Receipts replayed: an honest answer byte for byte, and whatever an enclave could have answered instead (rule R5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from enclave.client import Answer
from enclave.found import Dataset
from enclave.replay import ReplayEngine, datasets_of, replayed
from rag.faiss_index import FaissFlatIndex
from storage.cid import Cid
from tests.datasets import SealedDataset, sealed_dataset
from tests.deployment import Deployment
from tests.people import dao
from tests.policies import serving, two_owners
from tests.toy import ToyEmbedder
from vault.attribution import rank_weight
from vault.codec import encode
from vault.envelope import Passage
from vault.errors import AccessDenied, InvalidReceipt, MalformedObject
from vault.machine import MachineKey
from vault.output_rules import OutputRules, Redaction
from vault.question import PLAIN, Mode, Options, vector_commitment
from vault.receipt import ReceiptFile, verified_receipt
from vault.receipt_links import Basis, meant_manifests
from vault.scores import packed_scores, unpacked_scores

WORDS = ("anchor", "beacon", "cable", "dinghy", "ebb", "fathom", "galley", "hull")
FIRST = tuple(Passage("ropes.txt", 10 * n, 10 * n + 9, f"rope {word} tide") for n, word in enumerate(WORDS))
SECOND = tuple(f"sail {word} tide" for word in WORDS)


@dataclass(frozen=True)
class Setting:
    deployment: Deployment
    owned: tuple[SealedDataset, SealedDataset]

    @property
    def key(self) -> MachineKey:
        return self.deployment.enclave.keys.receipt

    def ask(self, text: str, k: int = 4, **options: Any) -> ReceiptFile:
        with self.deployment.client() as client:
            answer: Answer = client.search(text, k=k, **options)
            return answer.file

    def engine(self, owned: Sequence[SealedDataset], given: dict[Cid, Any] | None = None) -> ReplayEngine:
        engine = ReplayEngine(ToyEmbedder(), FaissFlatIndex, self.deployment.world.blobs)
        for one in owned:
            dataset = Dataset(manifest=one.manifest, key=one.data_key)
            engine.open_one(dataset, (given or {}).get(one.manifest.cid()))
        return engine

    def replay(
        self,
        file: ReceiptFile,
        owned: Sequence[SealedDataset] | None = None,
        *,
        given: dict[Cid, Any] | None = None,
        within: float = 0.0,
    ) -> list[str]:
        receipt = verified_receipt(file.message, self.key.public)
        asked = datasets_of(file, meant_manifests(Basis.of(file), receipt.head))
        owned = self.owned if owned is None else owned
        opened = [one.manifest.cid() for one in owned if one.manifest.cid() in asked]
        engine = self.engine(owned, given)
        return list(replayed(file, receipt, engine, asked=asked, opened=opened, within=within))

    def forged(self, file: ReceiptFile, ranks: Sequence[int], **receipt: Any) -> ReceiptFile:
        """Return the file as an enclave would have signed it that answered with these of the passages it found."""
        true = verified_receipt(file.message, self.key.public)
        scores = unpacked_scores(true.scores)
        changed = {
            "passages": tuple(true.passages[rank] for rank in ranks),
            "scores": packed_scores([scores[rank] for rank in ranks]),
            "weights": tuple(rank_weight(rank) for rank in range(len(ranks))),
        }
        message = replace(true, **(changed | receipt)).signed(self.key)
        return replace(file, message=message, passages=tuple(file.passages[rank] for rank in ranks))


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    yield from _served(tmp_path_factory, {})


def _served(factory: pytest.TempPathFactory, policy: dict[str, Any], first: Any = FIRST) -> Iterator[Setting]:
    world, second = two_owners(first, SECOND, k_max=16, **policy)
    with serving(factory.mktemp("served"), (world, second)) as deployment:
        deployment.add_credit(100_000)
        yield Setting(deployment, (world.dataset, second))


@pytest.mark.parametrize(
    "options",
    [
        PLAIN,
        replace(PLAIN, mode=Mode.KEYWORD),
        replace(PLAIN, mode=Mode.HYBRID),
        replace(PLAIN, distinct=True),
        replace(PLAIN, diversity=400),
        replace(PLAIN, neighbors=1),
        replace(PLAIN, where=encode({"key": "document", "equals": "ropes.txt"})),
    ],
    ids=["dense", "keyword", "hybrid", "distinct", "diverse", "neighbors", "filter"],
)
def test_an_honest_answer_is_the_same_byte_for_byte(setting: Setting, options: Options) -> None:
    said = setting.replay(setting.ask("rope beacon tide", options=options))
    assert "byte for byte" in said[-1]


def test_so_is_one_asked_by_vector_or_for_some_datasets(setting: Setting) -> None:
    vector = ToyEmbedder().embed_queries(["sail hull"])[0].astype("<f4").tobytes()
    assert len(setting.replay(setting.ask("", vector=vector))) == 1  # there is no text to compare with
    only = setting.owned[1].manifest.cid()
    assert "byte for byte" in setting.replay(setting.ask("sail hull", datasets=[only]), setting.owned[1:])[-1]


def test_a_text_that_was_embedded_alone_is_compared(setting: Setting) -> None:
    with setting.deployment.client() as client:
        file = client.embed("sail hull").file
    (said,) = setting.replay(file)
    assert "the one this model gives the question" in said


FORGED: dict[str, tuple[str, Callable[[Setting, ReceiptFile], ReceiptFile]]] = {
    "best left out": ("passages", lambda setting, file: setting.forged(file, [1, 2, 3])),
    "last left out": ("passages", lambda setting, file: setting.forged(file, [0, 1, 2])),
    "none given": ("passages", lambda setting, file: setting.forged(file, [])),
    "another order": ("passages", lambda setting, file: setting.forged(file, [1, 0, 2, 3])),
    "a score one bit higher": ("scores", lambda setting, file: _scored(setting, file, up=True)),
    "a score one bit lower": ("scores", lambda setting, file: _scored(setting, file, up=False)),
    "another vector": ("vector", lambda setting, file: _with_vector(setting, file, "galley")),
}


def _scored(setting: Setting, file: ReceiptFile, *, up: bool) -> ReceiptFile:
    scores = list(unpacked_scores(verified_receipt(file.message, setting.key.public).scores))
    scores[2] = math.nextafter(scores[2], math.inf if up else -math.inf)
    return setting.forged(file, range(4), scores=packed_scores(scores))


def _with_vector(setting: Setting, file: ReceiptFile, text: str) -> ReceiptFile:
    vector = ToyEmbedder().embed_queries([text])[0].astype("<f4").tobytes()
    other = setting.forged(file, range(4), vector=vector_commitment(file.query.salt, vector))
    return replace(other, query_vector=vector)


@pytest.mark.parametrize("name", FORGED)
def test_what_the_search_does_not_give_is_named(setting: Setting, name: str) -> None:
    fact, make = FORGED[name]
    with pytest.raises(InvalidReceipt, match=f"^{fact}: "):
        setting.replay(make(setting, setting.ask("rope beacon tide")))


class TestOneOwnerAlone:
    def test_its_part_of_an_honest_answer_holds(self, setting: Setting) -> None:
        file = setting.ask("beacon tide", k=6)
        for owned in setting.owned:
            assert "1 of 2 datasets replayed" in setting.replay(file, [owned])[-1]

    def test_it_finds_its_own_passage_left_out(self, setting: Setting) -> None:
        file = setting.ask("rope beacon tide")
        with pytest.raises(InvalidReceipt, match="belonged among them and is missing"):
            setting.replay(setting.forged(file, [1, 2, 3]), setting.owned[:1])
        assert setting.replay(setting.forged(file, [0, 1, 2, 3]), setting.owned[1:])

    def test_a_partial_answer_may_lack_some(self, setting: Setting) -> None:
        file, first = setting.ask("rope beacon tide", k=8), setting.owned[0].manifest.cid()
        proofs = verified_receipt(file.message, setting.key.public).passages
        mine = [rank for rank, proof in enumerate(proofs) if proof.manifest == first]
        assert setting.replay(setting.forged(file, mine[1:], is_partial=True), setting.owned[:1])
        with pytest.raises(InvalidReceipt, match="not the ones that its own search finds"):
            setting.replay(setting.forged(file, mine[::-1], is_partial=True), setting.owned[:1])

    def test_of_other_questions_it_has_no_replay(self, setting: Setting) -> None:
        file = setting.ask("rope tide", options=replace(PLAIN, mode=Mode.HYBRID))
        with pytest.raises(MalformedObject, match="only plain dense answers"):
            setting.replay(file, setting.owned[:1])


class TestVectorsOfTheEnclave:
    def given(self, setting: Setting, change: Callable[[Any], Any]) -> dict[Cid, Any]:
        texts = [Passage.text for Passage in FIRST], list(SECOND)
        vectors = [ToyEmbedder().embed_passages(one) for one in texts]
        return {one.manifest.cid(): change(rows) for one, rows in zip(setting.owned, vectors, strict=True)}

    def test_they_replay_without_embedding(self, setting: Setting) -> None:
        file = setting.ask("rope beacon tide")
        assert "byte for byte" in setting.replay(file, given=self.given(setting, lambda rows: rows))[-1]

    def test_others_in_the_last_bits_are_noticed_and_hold_within_a_bound(self, setting: Setting) -> None:
        file = setting.ask("rope beacon tide")
        near = self.given(setting, lambda rows: np.nextafter(rows, np.float32(2)))
        with pytest.raises(InvalidReceipt, match=r"^scores: "):
            setting.replay(file, given=near)
        assert "within" in setting.replay(file, given=near, within=1e-4)[-1]
        assert setting.replay(file, setting.owned[:1], given=near, within=1e-4)

    def test_within_a_bound_a_better_passage_left_out_is_still_noticed(self, setting: Setting) -> None:
        file = setting.forged(setting.ask("rope beacon tide"), [1, 2, 3])
        near = self.given(setting, lambda rows: np.nextafter(rows, np.float32(2)))
        for owned in (setting.owned, setting.owned[:1]):
            with pytest.raises(InvalidReceipt, match=r"^passages: "):
                setting.replay(file, owned, given=near, within=1e-4)

    @pytest.mark.parametrize("change", [lambda rows: rows[:3], lambda rows: rows.astype(np.float64)])
    def test_of_another_shape_they_are_refused(self, setting: Setting, change: Callable[[Any], Any]) -> None:
        with pytest.raises(MalformedObject, match="rows of 64 float32"):
            setting.replay(setting.ask("rope"), given=self.given(setting, change))


def test_a_dataset_of_another_model_is_refused(setting: Setting) -> None:
    other = sealed_dataset(dao(3), FIRST, model=bytes(32))
    with pytest.raises(AccessDenied, match="another embedding model"):
        setting.engine([other])


def test_what_the_budget_held_back_leaves_a_replay_in_parts(tmp_path_factory: pytest.TempPathFactory) -> None:
    for setting in _served(tmp_path_factory, {"owner_bps": 5_000, "passages_max": 100}):
        setting.ask("rope beacon", k=3)
        for text, k in (("rope beacon tide", 6), ("rope fathom", 8)):
            file = setting.ask(text, k=k)
            receipt = verified_receipt(file.message, setting.key.public)
            assert receipt.is_partial
            assert "partial" in setting.replay(file)[-1]
        wrong = setting.forged(file, range(len(file.passages))[::-1], is_partial=True)
        with pytest.raises(InvalidReceipt, match=r"^passages: no search"):
            setting.replay(wrong)


def test_redacted_passages_and_rounded_scores_are_replayed_as_they_left(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    rules = OutputRules(owners_min=1, score_decimals=2, redacts=(Redaction.EMAIL,))
    first = (*FIRST, Passage("mail.txt", 0, 30, "rope by ann@port.example tide"))
    for setting in _served(tmp_path_factory, {"output": rules}, first):
        file = setting.ask("rope by tide", k=4)
        assert any(proof.redacted for proof in verified_receipt(file.message, setting.key.public).passages)
        assert "byte for byte" in setting.replay(file)[-1]
