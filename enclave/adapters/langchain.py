"""A LangChain retriever over an attested enclave (extra `langchain`).

retriever = CofferRetriever(client=connect("127.0.0.1:7001", "app.credential"), k=4)
documents = retriever.invoke("How do I open a zip file?")
"""

from __future__ import annotations

import asyncio

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.exceptions import LangChainException
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field, InstanceOf

from enclave.adapters.facts import passage_facts, passage_id, receipt_facts
from enclave.answers import Answer
from enclave.async_client import AsyncEnclaveClient
from enclave.client_core import Asking
from enclave.sync_client import EnclaveClient
from storage.cid import Cid
from vault.errors import VaultError
from vault.question import PLAIN, Options
from vault.wire import status_of


class CofferRefused(LangChainException):
    """A question that was not answered; `reason` is one word for programs, and the cause is the client's own error."""

    def __init__(self, error: VaultError) -> None:
        super().__init__(str(error))
        self.reason = status_of(error)[1]


class CofferRetriever(BaseRetriever):
    """Returns the passages of licensed answers, each with its source and the checked receipt in the metadata.

    Each call is charged; `max_spend` of the client bounds what all of them may cost. Threads may share it. Without an
    `async_client`, awaited calls run the other one in a thread.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    client: InstanceOf[EnclaveClient] = Field(repr=False)
    async_client: InstanceOf[AsyncEnclaveClient] | None = Field(default=None, repr=False)
    k: int | None = None
    datasets: tuple[InstanceOf[Cid], ...] = ()
    options: InstanceOf[Options] = Field(default=PLAIN, repr=False)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        return self._documents(query, k)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        if self.async_client is None:
            return await asyncio.to_thread(self._documents, query, k)
        try:
            return documents_of(await self.async_client.search(query, k=k or self.k, **self._asking()))
        except VaultError as error:
            raise CofferRefused(error) from error

    def _documents(self, query: str, k: int | None) -> list[Document]:
        try:
            return documents_of(self.client.search(query, k=k or self.k, **self._asking()))
        except VaultError as error:
            raise CofferRefused(error) from error

    def _asking(self) -> Asking:
        return Asking(datasets=self.datasets, options=self.options)


def documents_of(answer: Answer) -> list[Document]:
    """Return an answer's passages as documents, best first."""
    receipt = receipt_facts(answer)
    return [
        Document(
            id=passage_id(result),
            page_content=result.text,
            metadata={**passage_facts(result), "receipt": receipt, "is_partial": answer.is_partial},
        )
        for result in answer
    ]
