"""LangChain's own suite for retrievers against a real enclave, and what ours adds to a document."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_tests.integration_tests import RetrieversIntegrationTests

from enclave.adapters.langchain import CofferRefused, CofferRetriever
from enclave.client import EnclaveClient
from tests.clients import connected, connected_async
from tests.deployment import Deployment
from tests.enclaves import PRICE
from vault.errors import CreditExhausted


class TestLangChainsOwnSuite(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _connected(self, client: EnclaveClient) -> None:
        self._client = client

    @property
    def retriever_constructor(self) -> type[CofferRetriever]:
        return CofferRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"client": self._client}

    @property
    def retriever_query_example(self) -> str:
        return "tide table"


def test_a_document_bears_its_source_and_the_receipt(client: EnclaveClient) -> None:
    spent = client.spent
    first, second = CofferRetriever(client=client, k=2).invoke("tide table")
    assert first.page_content == "The tide table for May."
    assert first.metadata["receipt"]["price"] == PRICE == client.spent - spent
    assert first.metadata["receipt"] == second.metadata["receipt"]
    assert first.metadata["score"] > second.metadata["score"]
    assert first.id == f"{first.metadata['dataset']}/{first.metadata['index']}"
    json.dumps(first.metadata)


async def test_awaited_it_gives_the_same_with_and_without_an_async_client(
    deployment: Deployment, client: EnclaveClient
) -> None:
    async with await connected_async(deployment) as other:
        expected = [one.page_content for one in CofferRetriever(client=client, k=3).invoke("rain")]
        for retriever in (CofferRetriever(client=client, k=3), CofferRetriever(client=client, async_client=other, k=3)):
            assert [one.page_content for one in await retriever.ainvoke("rain")] == expected
        assert other.spent == PRICE


def test_many_at_once_and_in_a_chain(client: EnclaveClient) -> None:
    chain = CofferRetriever(client=client, k=1) | RunnableLambda(lambda found: found[0].page_content)
    assert chain.batch(["tide table"] * 20) == ["The tide table for May."] * 20


def test_a_refusal_is_one_of_langchains_exceptions(deployment: Deployment) -> None:
    with connected(deployment, max_spend=PRICE - 1) as poor, pytest.raises(CofferRefused, match="max_spend") as error:
        CofferRetriever(client=poor).invoke("tide")
    assert error.value.reason == "CREDIT_EXHAUSTED"
    assert isinstance(error.value.__cause__, CreditExhausted)


def test_its_repr_says_nothing_of_client_or_question(client: EnclaveClient) -> None:
    assert "client" not in repr(CofferRetriever(client=client))
