"""A LlamaIndex retriever over an attested enclave (extra `llamaindex`).

retriever = CofferRetriever(connect("127.0.0.1:7001", "app.credential"), similarity_top_k=4)
nodes = retriever.retrieve("How do I open a zip file?")
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from enclave.adapters.facts import passage_facts, passage_id, receipt_facts
from enclave.answers import Answer
from enclave.async_client import AsyncEnclaveClient
from enclave.sync_client import EnclaveClient
from storage.cid import Cid
from vault.question import PLAIN, Options

HIDDEN = ("receipt", "dataset", "index", "start", "end", "score", "is_redacted", "is_partial", "facts")


class CofferRetriever(BaseRetriever):
    """Returns the passages of licensed answers as nodes, each with its source and the checked receipt in the metadata.

    Each call is charged; `max_spend` of the client bounds what all of them may cost. A question that is not answered
    raises the client's own error. Models are shown a node's words and source, and nothing of the receipt.
    """

    def __init__(
        self,
        client: EnclaveClient,
        *,
        async_client: AsyncEnclaveClient | None = None,
        similarity_top_k: int | None = None,
        datasets: Sequence[Cid] = (),
        options: Options = PLAIN,
        **more: Any,
    ) -> None:
        """Ask through `client`; awaited calls go through `async_client`, or without one through a thread."""
        super().__init__(**more)
        self._client = client
        self._async_client = async_client
        self._k = similarity_top_k
        self._datasets = tuple(datasets)
        self._options = options

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        text = query_bundle.query_str
        return nodes_of(self._client.search(text, k=self._k, datasets=self._datasets, options=self._options))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        if self._async_client is None:
            return await asyncio.to_thread(self._retrieve, query_bundle)
        text = query_bundle.query_str
        answer = await self._async_client.search(text, k=self._k, datasets=self._datasets, options=self._options)
        return nodes_of(answer)


def nodes_of(answer: Answer) -> list[NodeWithScore]:
    """Return an answer's passages as nodes with their scores, best first."""
    receipt = receipt_facts(answer)
    return [
        NodeWithScore(
            node=TextNode(
                id_=passage_id(result),
                text=result.text,
                start_char_idx=result.passage.start,
                end_char_idx=result.passage.end,
                metadata={**passage_facts(result), "receipt": receipt, "is_partial": answer.is_partial},
                excluded_llm_metadata_keys=list(HIDDEN),
                excluded_embed_metadata_keys=list(HIDDEN),
            ),
            score=result.score,
        )
        for result in answer
    ]
