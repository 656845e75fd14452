"""What the MCP server's tools return, as structured content: their schemas are what a model is told of them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class ReceiptFacts(BaseModel):
    """What a checked receipt says."""

    cid: str
    sequence: int
    price: int = Field(description="micro-units of the currency")
    currency: str
    budget_left: int = Field(description="distinct passages that may still be seen")
    at: int = Field(description="UTC seconds")
    tee: str
    policy: str
    is_repeat: bool = False


class PassageFacts(BaseModel):
    """One passage."""

    text: str
    source: str
    start: int
    end: int
    score: float
    dataset: str
    index: int
    is_redacted: bool
    facts: dict[str, Any]


class Found(BaseModel):
    """What a search found and cost."""

    passages: list[PassageFacts]
    is_partial: bool
    receipt: ReceiptFacts
    spent: int
    spend_left: int | None


class Terms(BaseModel):
    """What an answer would cost and what is left."""

    price_max: int
    price_min: int
    currency: str
    passages_max: int
    passages_left: int
    credit: int
    spend_left: int | None


class DatasetFacts(BaseModel):
    """One dataset."""

    dataset: str
    title: str
    passages: int
    owner: str
    only: str | None  # a filter in JSON that its passages have to meet to be found; null where all may be


class Datasets(BaseModel):
    """What may be asked."""

    datasets: list[DatasetFacts]
    k_max: int
    price_per_query: int
    price_per_passage: int
    currency: str
    tee: str


class Receipts(BaseModel):
    """The receipts of this server so far, newest first."""

    receipts: list[ReceiptFacts]
    folder: str | None
    spent: int
    spend_left: int | None
