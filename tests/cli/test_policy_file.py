"""Policies as people write them: each key, each mistake with its line, and files that mean harm."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from cli.policy_file import policy_from_yaml
from cli.policy_schema import json_schema, markdown_table
from cli.policy_words import WORDS, Section
from cli.strict_yaml import BYTES_MAX, DEPTH_MAX, NODES_MAX, tree_from
from storage.cid import DAG_CBOR, Cid
from tests.builders import NOW, dao, policy, wallet
from vault.codec import encode
from vault.dataset import DatasetRef
from vault.errors import MalformedObject
from vault.licensees import Licensees
from vault.output_rules import OutputRules, Redaction
from vault.policy import Policy
from vault.pricing import Tier
from vault.signing import address_text
from vault.voucher_rules import SETTLEMENT_CONTRACT, VoucherRules

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples" / "policies").glob("*.yaml"))
DAO = dao()
ONE, TWO = (Cid.of(DAG_CBOR, name) for name in (b"one", b"two"))
OPERATOR, ISSUER = address_text(wallet("operator").address), address_text(wallet("issuer").address)
OWNERS = {ONE: "owner", TWO: "second owner"}

TIERS = "{after: 10, per_query: 0.00009 USDC, per_passage: 5}, {after: 100, per_query: 80}"
WHOLE = f"""\
title: Tides
datasets:
  - {ONE}
  - {{dataset: {TWO}, version: latest}}
licensees: {{issuer: {ISSUER}}}
price: {{currency: USDC, per_query: 0.0001 USDC, per_passage: 7, free_queries: 3, tiers: [{TIERS}]}}
limits: {{k: 5, queries_per_minute: 30, passages: 200, corpus_share: 12.5%, owner_share: 50%}}
enclaves: [enclave.json]
output: {{owners: 2, score_decimals: 3, redact: [phone, email]}}
split: {{operator: {OPERATOR}, operator_share: 5%, treasury: {ISSUER}, treasury_share: 0%}}
expires: 90d
vouchers: {{unpaid: 0.002 USDC, unpaid_queries: 20, chain: 8453, token: {OPERATOR}, contract: {ISSUER}, \
withdraw_delay: 2d}}
"""
LEAST = f"""\
datasets: [{ONE}]
licensees: {{issuer: {ISSUER}}}
price: {{per_query: 100}}
enclaves: [enclave.json]
split: {{operator: {OPERATOR}}}
"""


LONG = json.dumps({"key": "tags", "in": [f"{number:0>64}" for number in range(40)]})


def reference(text: str) -> DatasetRef:
    cid = Cid.parse(text)
    return DatasetRef(owner=wallet(OWNERS.get(cid, text[-3:])).address, dataset=cid.digest, manifest=cid)


def described(path: Path) -> Any:
    if path.name != "enclave.json":
        raise MalformedObject(f"{path} is no description")
    made = policy(DAO.genesis)
    return made.tees, made.configurations


def read(text: str | bytes) -> Policy:
    return policy_from_yaml(
        text if isinstance(text, bytes) else text.encode(),
        genesis=DAO.genesis,
        charter_treasury=wallet("treasury").address,
        at=NOW,
        resolve=reference,
        enclave_file=described,
    )


def test_a_dataset_may_be_named_in_part() -> None:
    only = """'{"key": "tags", "in": ["open", "old"]}'"""
    whole = LEAST.replace(f"[{ONE}]", f"[{{dataset: {ONE}, only: {only}}}, {TWO}]")
    assert read(whole).datasets == (
        replace(reference(str(ONE)), only=encode({"key": "tags", "in": ["open", "old"]})),
        reference(str(TWO)),
    )


def test_every_key_says_what_the_policy_then_says() -> None:
    assert read(WHOLE) == policy(
        DAO.genesis,
        title="Tides",
        datasets=(reference(str(ONE)), replace(reference(str(TWO)), manifest=None)),
        licensees=Licensees.credential(wallet("issuer").address),
        price_per_query=100,
        price_per_passage=7,
        free_queries=3,
        tiers=(
            Tier(after=10, price_per_query=90, price_per_passage=5),
            Tier(after=100, price_per_query=80, price_per_passage=0),
        ),
        k_max=5,
        queries_per_minute=30,
        passages_max=200,
        corpus_bps=1_250,
        owner_bps=5_000,
        output=OutputRules(owners_min=2, score_decimals=3, redacts=(Redaction.EMAIL, Redaction.PHONE)),
        treasury=wallet("issuer").address,
        treasury_bps=0,
        operator_bps=500,
        expires_at=NOW + 90 * 86_400,
        vouchers=VoucherRules(
            unpaid_max=2_000,
            unpaid_queries_max=20,
            chain_id=8453,
            token=wallet("operator").address,
            contract=wallet("issuer").address,
            withdraw_delay_least=2 * 86_400,
        ),
    )


def test_what_is_left_out_is_as_the_table_says() -> None:
    made = read(LEAST)
    assert (made.title, made.k_max, made.queries_per_minute, made.passages_max) == ("", 10, 60, 1000)
    assert (made.corpus_bps, made.owner_bps, made.treasury_bps, made.operator_bps) == (10_000, 10_000, 1_000, 1_000)
    assert (made.treasury, made.price_per_passage, made.currency) == (wallet("treasury").address, 0, "USDC")
    assert (made.output.owners_min, made.output.redacts, made.expires_at) == (1, (), NOW + 30 * 86_400)
    assert made.vouchers is None


def test_vouchers_are_taken_where_the_file_says_so_and_their_usual_terms_follow() -> None:
    rules = read(LEAST + f"vouchers: {{unpaid: 1000, chain: 1, token: {OPERATOR}}}").vouchers
    assert rules is not None
    assert (rules.unpaid_queries_max, rules.contract, rules.withdraw_delay_least) == (100, SETTLEMENT_CONTRACT, 86_400)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_policies(example: Path) -> None:
    assert read(example.read_bytes()).title


def test_there_are_three_examples_one_of_each_kind_of_licensee() -> None:
    assert {str(read(path.read_bytes()).licensees.admits) for path in EXAMPLES} == {"anyone", "credential", "listed"}


@pytest.mark.parametrize(
    ("text", "amount"),
    [("100", 100), ("0", 0), ("0.0001 USDC", 100), ("1 USDC", 10**6), ("0.000001 USDC", 1), ("12.5 USDC", 12_500_000)],
)
def test_prices_are_micro_units_or_amounts(text: str, amount: int) -> None:
    assert read(LEAST.replace("per_query: 100", f"per_query: {text}")).price_per_query == amount


def test_a_day_is_when_it_begins() -> None:
    assert read(LEAST + "expires: 2028-01-31\n").expires_at == 1_832_889_600


def test_an_address_needs_no_quotes_to_be_one() -> None:
    """YAML 1.1 would read 0x12ab… as a number, and `no` as false."""
    assert read(LEAST + "title: no\n").title == "no"
    listed = LEAST.replace(f"issuer: {ISSUER}", f"addresses: [{OPERATOR.lower()}]")
    assert read(listed).licensees == Licensees.listed([wallet("operator").address])


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("title:", "titel:", r"line 1: the file has no key 'titel'; did you mean title\?"),
        ("after: 10,", "", "line 6: price.tiers.after is missing: answers that a licensee has had"),
        ("after: 100", "after: 9", "ever more answers"),
        ("{after: 100, per_query: 80}", "80", "line 6: price.tiers"),
        ("per_query", "per_qeury", r"line 6: price has no key 'per_qeury'; did you mean per_query\?"),
        ("limits:", "zzz:", "line 7: the file has no key 'zzz'; there are title, datasets"),
        ("version: latest", "version: newest", "line 4: datasets.version: 'newest' is neither this nor latest"),
        ("version: latest", "only: tags=open", "line 4: datasets.only: the filter is not JSON"),
        ("version: latest", "only: '{}'", "line 4: datasets.only: a clause takes at least one|a clause takes"),
        ("version: latest", "only: ['a']", "line 4: datasets.only is one value"),
        ("version: latest", f"only: '{LONG}'", "line 4: datasets.only: a policy's filter has at most 2048 bytes"),
        ("12.5%", "12.555%", "line 7: limits.corpus_share: '12.555%' is not a share"),
        ("12.5%", "101%", "line 7: limits.corpus_share"),
        ("k: 5", "k: five", "line 7: limits.k: 'five' is not a whole number"),
        ("k: 5", "k: -5", "is not a whole number"),
        ("k: 5", "k: 99999999999999999999", "is not a whole number"),
        ("k: 5", "k: [5]", "line 7: limits.k is one value"),
        ("k: 5", "k: 101", "k is 1 … 100"),
        ("k: 5", "k: 1", "holds 1 passages at most"),
        ("0.0001 USDC", "0.0001", "'0.0001' is no price"),
        ("0.0001 USDC", "0.0000001 USDC", "is no price"),
        ("0.0001 USDC", "1 SHELL", "'1 SHELL' is no price; write micro-units, 100, or an amount: 0.0001 USDC"),
        ("0.0001 USDC", "1e6", "is no price"),
        ("currency: USDC", "currency: usdc", "'usdc' is not a currency"),
        ("90d", "90", "line 11: expires: '90' is not a duration"),
        ("90d", "2027-02-30", "there is no day 2027-02-30"),
        ("[phone, email]", "[phone, emails]", "'emails' cannot be redacted; there are card, email, phone"),
        ("[phone, email]", "[phone, phone]", "stands once each"),
        ("[phone, email]", "phone", "line 9: output.redact is a list"),
        ("[enclave.json]", "[other.json]", "line 8: enclaves: other.json is no description"),
        ("enclaves: [enclave.json]", "enclaves: []", "tees: length 0"),
        ("enclaves: [enclave.json]\n", "", "enclaves is a list"),
        (f"issuer: {ISSUER}", "", "licensees says one of addresses, issuer and anyone"),
        (f"issuer: {ISSUER}", f"issuer: {ISSUER}, anyone: who-pays", "licensees says one of"),
        (f"issuer: {ISSUER}", "anyone: true", "'true' is not who-pays"),
        (f"issuer: {ISSUER}", "addresses: []", "the list of licensees is empty"),
        (f"issuer: {ISSUER}", "issuer: 0x12", "line 5: licensees.issuer: an address has 20 bytes"),
        (f"operator: {OPERATOR}, ", "", "line 10: split.operator is missing: address that earns"),
        (f"  - {ONE}", "  - bafyx", "line 3: datasets: a base32 CID has 58"),
        (f"  - {ONE}", f"  - {TWO}", "a dataset stands in a policy once"),
        (f"  - {ONE}", "  - [1]", "line 3: datasets holds keys with values"),
        ("title: Tides", "title: " + "x" * 201, "title: length 201"),
        ("title: Tides", "- title", "this is not YAML"),
        ("title: Tides\n", "title: Tides\ntitle: Again\n", "line 2: 'title' stands twice"),
        ("k: 5", "k: 5, k: 6", "line 7: 'k' stands twice"),
        ("title: Tides", "title: &a Tides", "line 1: anchors and aliases are not allowed"),
        ("title: Tides", "title: *a", "line 1: anchors and aliases are not allowed"),
        ("title: Tides", "title: !!python/object/apply:os.system ['true']", "line 1: tags such as"),
        ("title: Tides", "? [a, b]\n: c", "line 1: a key is one word"),
        ("title: Tides", "<<: {title: T}", "the file has no key '<<'"),
        ("expires: 90d\n", "expires: 90d\n---\ntitle: Second\n", "there is a second document"),
        ("title: Tides", 'title: "\\U99999999"', "this is not YAML"),
        ("title: Tides", "title: \x07", "this is not YAML"),
        ("title: Tides", 'title: "\\uD800"', "surrogate"),
    ],
)  # fmt: skip
def test_one_mistake_is_named_with_its_line(before: str, after: str, said: str) -> None:
    assert before in WHOLE
    with pytest.raises(MalformedObject, match=said):
        read(WHOLE.replace(before, after, 1))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b"# nothing\n", "the file is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (b"policy", "the file holds keys with values"),
        (b"#" * (BYTES_MAX + 1), "at most"),
        (b"[" * 60_000, "nested more than"),
        (b"{a: " * 10_000, "nested more than"),
        (b"- " * 30_000, "nested more than"),
        (b"a: [" + b"x," * 20_000 + b"]", f"more than {NODES_MAX} values"),
        (b"a: &a [x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "anchors"),
        (b"%YAML 99999999999999999999999.1\n--- a\n", "YAML"),
    ],
    ids=lambda part: repr(part)[:24],
)
def test_files_that_mean_harm_are_refused(data: bytes, said: str) -> None:
    with pytest.raises(MalformedObject, match=said):
        read(data)


@given(data=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="replace")))
@example(b"a: b: c")
@example(b"? ")
@example(b"a: |\n")
@example(b"\xef\xbb\xbfa: b")
def test_whatever_the_bytes_nothing_but_our_own_error_comes_out(data: bytes) -> None:
    with suppress(MalformedObject):
        tree_from(data)
    with pytest.raises(MalformedObject):
        read(data)


WORD = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cn"]), max_size=8)
TREES = st.recursive(
    WORD, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORD, inner, max_size=4), max_leaves=20
)


@given(tree=TREES)
def test_what_is_read_is_what_was_written(tree: Any) -> None:
    def plain(node: Any) -> Any:
        if hasattr(node, "value"):
            return node.value
        if hasattr(node, "items"):
            return [plain(item) for item in node.items]
        return {key: plain(item) for key, item in node.entries.items()}

    def depth(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return 1 + max(map(depth, inner), default=0)

    if depth(tree) <= DEPTH_MAX:
        text = yaml.dump(tree, Dumper=_NoAliases, default_style='"', allow_unicode=True)
        assert plain(tree_from(text.replace('!!str "', '"').encode())) == tree


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def test_counts_are_off_unless_the_file_says_in_what_multiples() -> None:
    told = WHOLE.replace("owners: 2, score_decimals: 3, redact: [phone, email]", "counts_in: 20")
    assert read(told).output == OutputRules(owners_min=1, score_decimals=9, redacts=(), counts_from=20)
    assert read(told.replace("counts_in: 20", "counts_in: 0")).output.counts_from == read(WHOLE).output.counts_from == 0
    for wrong in ("counts_in: 3", "counts_in: some", "counts_in: 20, redact: [email]"):
        with pytest.raises(MalformedObject):
            read(told.replace("counts_in: 20", wrong))


class TestSchema:
    def test_the_file_in_the_docs_is_the_tables(self) -> None:
        assert json.loads((ROOT / "docs" / "policy.schema.json").read_text()) == json_schema()

    def test_the_table_in_the_docs_is_the_tables(self) -> None:
        assert f"<!-- words -->\n{markdown_table()}\n<!-- /words -->" in (ROOT / "docs" / "policy.md").read_text()

    @pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
    def test_the_examples_fit_it(self, example: Path) -> None:
        require_fits(yaml.safe_load(example.read_text().replace("expires: 2028-01-31", "expires: '2028-01-31'")))

    @pytest.mark.parametrize(
        ("before", "after"),
        [("title:", "titel:"), ("12.5%", "12.5"), ("k: 5", "k: 0"), ("phone", "fax"), ("per_query", "query")],
    )
    def test_it_refuses_what_the_reader_refuses(self, before: str, after: str) -> None:
        quoted = re.sub(r"(0x[0-9a-fA-F]{40})", r'"\1"', WHOLE)
        require_fits(yaml.safe_load(quoted))
        with pytest.raises(AssertionError):
            require_fits(yaml.safe_load(quoted.replace(before, after, 1)))
        with pytest.raises(MalformedObject):
            read(quoted.replace(before, after, 1))

    def test_every_word_is_read(self) -> None:
        source = (ROOT / "cli" / "policy_file.py").read_text()
        keys = [word.key for word in WORDS]
        keys += [inner.key for word in WORDS if isinstance(word, Section) for inner in word.words]
        assert [key for key in keys if f'"{key}"' not in source] == []


def require_fits(value: Any, schema: dict[str, Any] | None = None) -> None:
    """Fail unless a value fits a schema; it knows the words that ours uses, and no others (JSON Schema 2020-12)."""
    schema = json_schema() if schema is None else schema
    known = {
        "$schema", "title", "description", "default", "type", "additionalProperties", "required", "properties", "items",
        "minItems", "maxItems", "uniqueItems", "minimum", "maximum", "maxLength", "minLength", "pattern", "enum",
        "anyOf", "minProperties", "maxProperties",
    }  # fmt: skip
    assert set(schema) <= known
    if "anyOf" in schema:
        assert any(_fits(value, option) for option in schema["anyOf"])
        return
    if "enum" in schema:
        assert value in schema["enum"]
    types = {"object": dict, "array": list, "string": str, "integer": int}
    assert "type" not in schema or type(value) is types[schema["type"]]
    if isinstance(value, dict):
        assert set(schema.get("required", ())) <= set(value) <= set(schema["properties"])
        assert schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", 99)
        for key, inner in value.items():
            require_fits(inner, schema["properties"][key])
    elif isinstance(value, list):
        assert schema["minItems"] <= len(value) <= schema["maxItems"]
        for item in value:
            require_fits(item, schema["items"])
    elif isinstance(value, str):
        assert re.search(schema.get("pattern", ""), value)
        assert schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 9_999)
    else:
        assert schema.get("minimum", 0) <= value <= schema.get("maximum", value)


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    try:
        require_fits(value, schema)
    except AssertionError:
        return False
    return True
