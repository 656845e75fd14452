"""The words of a policy file, in one table: what each key means, how its value is written, and what it is by default.

The reader (`cli.policy_file`), the JSON schema for editors and the table in `docs/policy.md` (both by
`cli.policy_schema`) all come from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, get_args

from vault.attribution import Attribution
from vault.codec import Label, Length
from vault.dataset import DATASETS_MAX
from vault.licensees import LISTED_MAX
from vault.output_rules import COUNTS_LEAST, COUNTS_MOST, PROBES_MAX, SCORE_DECIMALS_MAX, Redaction
from vault.permitted import ONLY_BYTES_MAX
from vault.policy import K_LIMIT, PRICE_MAX, TEES_MAX
from vault.pricing import TIERS_MAX
from vault.voucher_rules import SETTLEMENT_CONTRACT, UNPAID_MAX, UNPAID_QUERIES_MAX

TITLE_CHARS_MAX: Final = next(bound.most for bound in get_args(Label) if isinstance(bound, Length))
ADDRESS: Final = "^0x[0-9a-fA-F]{40}$"
CID: Final = "^b[a-z2-7]{20,120}$"
SHARE: Final = r"^[0-9]{1,3}(\.[0-9]{1,2})?%$"
MONEY: Final = r"^[0-9]{1,15}(\.[0-9]{1,6})?( [A-Z0-9]{1,12})?$"
DURATION_OR_DAY: Final = r"^([0-9]{1,12}[smhdw]|[0-9]{4}-[0-9]{2}-[0-9]{2})$"
DURATION: Final = "^[0-9]{1,12}[smhdw]$"
LATEST: Final = "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One key of a policy file."""

    key: str
    means: str
    schema: dict[str, Any]
    default: str | None = None  # as it would be written; None: it has to be said


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A key that holds other keys."""

    key: str
    means: str
    words: tuple[Word, ...]
    is_needed: bool = True
    without: str = "all defaults"  # what leaving it out means


def _text(pattern: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern, **more}


def _number(least: int, most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": most}


def _list(item: dict[str, Any], least: int, most: int) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": least, "maxItems": most, "uniqueItems": True}


_COUNT_MAX: Final = (1 << 63) - 1
_MONEY = {"anyOf": [_number(0, PRICE_MAX), _text(MONEY)]}
_DATASET = {
    "anyOf": [
        _text(CID),
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["dataset"],
            "properties": {
                "dataset": _text(CID),
                "version": {"enum": ["this", LATEST]},
                "only": {"type": "string", "minLength": 2, "maxLength": 4 * ONLY_BYTES_MAX},
            },
        },
    ]
}

_TIER = {
    "type": "object",
    "additionalProperties": False,
    "required": ["after", "per_query"],
    "properties": {"after": _number(1, _COUNT_MAX), "per_query": _MONEY, "per_passage": _MONEY},
}

WORDS: Final[tuple[Word | Section, ...]] = (
    Word(
        key="title",
        means="what people call the policy",
        schema={"type": "string", "maxLength": TITLE_CHARS_MAX},
        default="",
    ),
    Word(
        key="datasets",
        means="each by the CID of one of its manifests, which pins that version; or as `dataset: CID` with "
        "`version: latest` for whatever its owner registered last; `only`, a filter in JSON, leaves the passages that "
        "may be found",
        schema=_list(_DATASET, 1, DATASETS_MAX),
    ),
    Section(
        key="licensees",
        means="who may ask: one of the three",
        words=(
            Word(
                key="addresses",
                means="these addresses, each by a license it signs itself",
                schema=_list(_text(ADDRESS), 1, LISTED_MAX),
                default="",
            ),
            Word(key="issuer", means="whoever this address grants a license", schema=_text(ADDRESS), default=""),
            Word(
                key="anyone",
                means="`who-pays`: anyone with credit; all of them share one extraction budget",
                schema={"enum": ["who-pays"]},
                default="",
            ),
        ),
    ),
    Section(
        key="price",
        means="what an answer costs: per query, and per passage that it holds",
        words=(
            Word(
                key="currency",
                means="what amounts are in, and what credit has to be in",
                schema=_text("^[A-Z0-9]{1,12}$"),
                default="USDC",
            ),
            Word(key="per_query", means="micro-units, or an amount with its currency: 0.0001 USDC", schema=_MONEY),
            Word(key="per_passage", means="the same, of each passage that leaves", schema=_MONEY, default="0"),
            Word(
                key="free_queries",
                means="each licensee's first answers, which cost nothing",
                schema=_number(0, _COUNT_MAX),
                default="0",
            ),
            Word(
                key="tiers",
                means="other prices for who has had so many answers: each with `after`, `per_query` and, if it is not "
                "0, `per_passage`",
                schema=_list(_TIER, 0, TIERS_MAX),
                default="",
            ),
        ),
    ),
    Section(
        key="limits",
        means="how much may be asked and seen",
        words=(
            Word(key="k", means="most passages an answer holds", schema=_number(1, K_LIMIT), default="10"),
            Word(key="queries_per_minute", means="of one licensee", schema=_number(1, _COUNT_MAX), default="60"),
            Word(
                key="passages",
                means="extraction budget: distinct passages that one licensee, or all of `anyone` "
                "together, may ever see",
                schema=_number(1, _COUNT_MAX),
                default="1000",
            ),
            Word(
                key="corpus_share",
                means="of each dataset's passages, how many may ever be seen",
                schema=_text(SHARE),
                default="100%",
            ),
            Word(
                key="owner_share",
                means="of each owner's passages in all the datasets, how many may ever be seen",
                schema=_text(SHARE),
                default="100%",
            ),
        ),
        is_needed=False,
    ),
    Word(
        key="enclaves",
        means="files that `coffer enclave describe --json` wrote: accepted machines, measurements, TCB floors and "
        "configurations",
        schema=_list({"type": "string", "minLength": 1, "maxLength": 4096}, 1, TEES_MAX),
    ),
    Section(
        key="output",
        means="what every answer keeps to",
        words=(
            Word(
                key="owners",
                means="least number of owners behind an answer; one with fewer holds no passage and costs "
                "its price per query",
                schema=_number(1, DATASETS_MAX),
                default="1",
            ),
            Word(
                key="score_decimals",
                means="decimals that scores keep",
                schema=_number(0, SCORE_DECIMALS_MAX),
                default=str(SCORE_DECIMALS_MAX),
            ),
            Word(
                key="probes_per_hour",
                means="most questions of one budget that hardly differ and come closest to one passage; `0`: any"
                " number",
                schema=_number(0, PROBES_MAX),
                default="0",
            ),
            Word(
                key="counts_in",
                means=f"how many passages meet a filter is told in multiples of this, {COUNTS_LEAST} at least, rounded "
                "down, for the price of a query; 0 for not at all",
                schema={"anyOf": [{"const": 0}, _number(COUNTS_LEAST, COUNTS_MOST)]},
                default="0",
            ),
            Word(
                key="redact",
                means="what is blacked out of passages",
                default="",
                schema=_list({"enum": [str(kind) for kind in Redaction]}, 0, len(Redaction)),
            ),
        ),
        is_needed=False,
    ),
    Section(
        key="split",
        means="who gets what of each price; the rest is the owners'",
        words=(
            Word(key="operator", means="address that earns the operator's share", schema=_text(ADDRESS)),
            Word(key="operator_share", means="of each price", schema=_text(SHARE), default="10%"),
            Word(
                key="treasury",
                means="address of the treasury, which also signs credit; the charter's by default",
                schema=_text(ADDRESS),
                default="",
            ),
            Word(key="treasury_share", means="of each price", schema=_text(SHARE), default="10%"),
            Word(
                key="attribution",
                means="what splits the owners' rest among the passages of an answer: all the same, their rank, or "
                "their score",
                schema={"enum": [str(by) for by in Attribution]},
                default=str(Attribution.RANK),
            ),
        ),
    ),
    Section(
        key="vouchers",
        means="whether licensees may pay by vouchers on a payment channel, on which chain, and how much may be unpaid",
        words=(
            Word(
                key="unpaid",
                means="most that a licensee may have been charged and no voucher covers; at least the price of the "
                "largest answer",
                schema={"anyOf": [_number(1, UNPAID_MAX), _text(MONEY)]},
            ),
            Word(
                key="unpaid_queries",
                means="most answers without a voucher, those on their way among them",
                schema=_number(1, UNPAID_QUERIES_MAX),
                default="100",
            ),
            Word(key="chain", means="id of the chain that channels are on", schema=_number(1, _COUNT_MAX)),
            Word(key="token", means="contract of the price's currency on that chain", schema=_text(ADDRESS)),
            Word(
                key="contract",
                means="contract that holds channels; x402's by default",
                schema=_text(ADDRESS),
                default="0x" + SETTLEMENT_CONTRACT.hex(),
            ),
            Word(
                key="withdraw_delay",
                means="how long a payer's own withdrawal takes at least, and so how much time there is to claim",
                schema=_text(DURATION),
                default="1d",
            ),
        ),
        is_needed=False,
        without="none are taken",
    ),
    Word(
        key="expires",
        means="when it ends: after a time, 30d, or at the beginning of a day of UTC, 2027-01-31",
        schema=_text(DURATION_OR_DAY),
        default="30d",
    ),
)
