"""The LlamaIndex retriever against a real enclave, alone and in LlamaIndex's own query engine."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import MetadataMode, QueryBundle

from enclave.adapters.llamaindex import CofferRetriever
from enclave.client import EnclaveClient
from tests.clients import connected, connected_async
from tests.deployment import Deployment
from tests.enclaves import PRICE
from vault.errors import CreditExhausted


def test_it_is_a_retriever_of_theirs(client: EnclaveClient) -> None:
    assert isinstance(CofferRetriever(client), BaseRetriever)


@pytest.mark.parametrize("question", ["tide table", QueryBundle("tide table")])
def test_a_node_bears_its_score_its_source_and_the_receipt(client: EnclaveClient, question: Any) -> None:
    spent = client.spent
    first, second = CofferRetriever(client, similarity_top_k=2).retrieve(question)
    assert first.node.get_content() == "The tide table for May."
    assert (first.score or 0) > (second.score or 0)
    assert first.node.metadata["receipt"]["price"] == PRICE == client.spent - spent
    assert first.node.node_id == f"{first.node.metadata['dataset']}/{first.node.metadata['index']}"


def test_a_model_is_shown_words_and_source_and_nothing_of_the_receipt(client: EnclaveClient) -> None:
    (found,) = CofferRetriever(client, similarity_top_k=1).retrieve("tide table")
    shown = found.node.get_content(metadata_mode=MetadataMode.LLM)
    assert found.node.metadata["source"] in shown
    assert "receipt" not in shown and found.node.metadata["dataset"] not in shown


async def test_awaited_it_gives_the_same_with_and_without_an_async_client(
    deployment: Deployment, client: EnclaveClient
) -> None:
    async with await connected_async(deployment) as other:
        expected = [one.node.get_content() for one in CofferRetriever(client).retrieve("rain")]
        for retriever in (CofferRetriever(client), CofferRetriever(client, async_client=other)):
            assert [one.node.get_content() for one in await retriever.aretrieve("rain")] == expected
        assert other.spent == PRICE


def test_in_a_query_engine_the_answer_names_its_sources(client: EnclaveClient) -> None:
    engine = RetrieverQueryEngine.from_args(CofferRetriever(client, similarity_top_k=2), llm=MockLLM())
    response = engine.query("tide table")
    assert "The tide table for May." in str(response)
    assert [node.metadata["receipt"]["price"] for node in response.source_nodes] == [PRICE, PRICE]


def test_a_refusal_keeps_its_kind(deployment: Deployment) -> None:
    with connected(deployment, max_spend=PRICE - 1) as poor, pytest.raises(CreditExhausted, match="max_spend"):
        CofferRetriever(poor).retrieve("tide")
