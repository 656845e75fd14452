"""EIP-712 digests: vectors of four libraries, eth-account as oracle for our own domain, and what libraries let pass.

Origin of the vectors: shared/vectors/eip712.json (ethers.js, eth-sig-util, eth-account, Snapshot; with commits).
"""

import json
import pickle
import re
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shared_data import shared
from vault.errors import MalformedObject
from vault.signing import CURVE_ORDER, SigningKey, recovered, wallet_signature_from
from vault.typed_data import TEXT_BYTES_MAX, Domain, Struct, keccak, word

ATOMIC = re.compile(r"string|bytes32|address|bool|uint\d+")
DOMAIN_FIELDS = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
    ("salt", "bytes32"),
)

SAMPLE = Struct(
    "Sample",
    (
        ("digest", "bytes32"),
        ("who", "address"),
        ("text", "string"),
        ("flag", "bool"),
        ("small", "uint8"),
        ("count", "uint64"),
        ("large", "uint256"),
    ),
)
VALUES: dict[str, Any] = {
    "digest": b"\x01" * 32,
    "who": b"\x02" * 20,
    "text": "Grüße",
    "flag": True,
    "small": 255,
    "count": 2**64 - 1,
    "large": 2**256 - 1,
}
DOMAIN = Domain(chain_id=100, dao_id=b"\x03" * 32)


def primary_type(vector: dict[str, Any]) -> str:
    """Return the named type, or the only one there is: Snapshot's vectors leave the name out."""
    names = [name for name in vector["types"] if name != "EIP712Domain"]
    return str(vector.get("primaryType", names[0] if len(names) == 1 else ""))


def is_flat(vector: dict[str, Any]) -> bool:
    fields = vector["types"].get(primary_type(vector), [])
    return bool(fields) and all(ATOMIC.fullmatch(field["type"]) for field in fields)


def typed(kind: str, value: Any) -> Any:
    """Read a vector's JSON as our types; what is no value of the type stays as it is, for the rule to refuse."""
    if kind in ("bytes32", "address") and isinstance(value, str) and value.startswith("0x") and len(value) % 2 == 0:
        return bytes.fromhex(value[2:])
    if kind.startswith("uint") and isinstance(value, str):
        return int(value, 0)
    return value


def digest_of(vector: dict[str, Any]) -> bytes:
    given = vector["types"].get("EIP712Domain")
    fields = tuple((f["name"], f["type"]) for f in given) if given is not None else DOMAIN_FIELDS
    domain = Struct("EIP712Domain", tuple(field for field in fields if field[0] in vector["domain"]))
    name = primary_type(vector)
    struct = Struct(name, tuple((f["name"], f["type"]) for f in vector["types"][name]))
    hashes = [
        item.hash({name: typed(dict(item.fields).get(name, ""), value) for name, value in values.items()})
        for item, values in ((domain, vector["domain"]), (struct, vector["message"]))
    ]
    return keccak(b"\x19\x01" + b"".join(hashes))


def test_flat_vectors_of_other_libraries_agree_or_are_refused_as_mistyped() -> None:
    vectors = json.loads(shared("vectors/eip712.json").read_text())["vectors"]
    flat = [vector for vector in vectors if vector["expect"] == "valid" and is_flat(vector)]
    refused = []
    for vector in flat:
        try:
            digest = digest_of(vector)
        except MalformedObject:
            refused.append(vector["id"].removeprefix("eth-sig-util:V4 "))
            continue
        assert digest.hex() == vector.get("digest", vector.get("digest_eth_account"))[2:], vector["id"]
        if "signer" in vector and vector["kind"] == "eoa":
            signature = bytes.fromhex(vector["signature"][2:])
            assert recovered(digest, signature).hex() == vector["signer"][2:].lower()
    assert refused == [
        "bool number -1",
        "bool number 0",
        "bool number 1",
        "bool string true",
        "bytes32 string 0x1fffffffffffff",
        "bytes32 string 0x1fffffffffffff1",
        "bytes32 string 0x10",
        "string number 10",
    ]
    assert len(flat) - len(refused) == 35


def test_what_only_lenient_encoders_take_is_refused() -> None:
    vectors = json.loads(shared("vectors/eip712.json").read_text())["vectors"]
    lenient = [vector for vector in vectors if vector["expect"] == "lenient-encoder-only"]
    assert (len(lenient), sum(map(is_flat, lenient))) == (9, 5)
    for vector in lenient:
        with pytest.raises(MalformedObject):
            digest_of(vector)


def test_invalid_vectors_and_structs_that_are_not_flat_are_refused() -> None:
    vectors = json.loads(shared("vectors/eip712.json").read_text())["vectors"]
    others = [v for v in vectors if primary_type(v) in v["types"] and (v["expect"] == "invalid" or not is_flat(v))]
    assert sum(vector["expect"] == "invalid" for vector in others) == 7
    assert len(others) > 100
    for vector in others:
        with pytest.raises(MalformedObject):
            digest_of(vector)


values = st.fixed_dictionaries(
    {
        "digest": st.binary(min_size=32, max_size=32),
        "who": st.binary(min_size=20, max_size=20),
        "text": st.text(max_size=100),
        "flag": st.booleans(),
        "small": st.integers(0, 2**8 - 1),
        "count": st.integers(0, 2**64 - 1),
        "large": st.integers(0, 2**256 - 1),
    }
)


@settings(max_examples=50, deadline=None)
@given(
    values,
    st.builds(Domain, chain_id=st.integers(0, 2**63 - 1), dao_id=st.binary(min_size=32, max_size=32)),
)
def test_a_wallet_that_reads_our_json_signs_our_digest(values: dict[str, Any], domain: Domain) -> None:
    read = json.loads(json.dumps(domain.typed_data(SAMPLE, values)))
    message = encode_typed_data(full_message=read)
    assert keccak(b"\x19" + message.version + message.header + message.body) == domain.digest(SAMPLE, values)


@settings(max_examples=20, deadline=None)
@given(values, st.binary(min_size=32, max_size=32).filter(lambda b: 0 < int.from_bytes(b, "big") < CURVE_ORDER))
def test_what_a_wallet_signs_of_our_json_recovers_to_its_address(values: dict[str, Any], secret: bytes) -> None:
    shown = json.dumps(DOMAIN.typed_data(SAMPLE, values))
    signed = Account.sign_typed_data(secret, full_message=json.loads(shown))
    pasted = wallet_signature_from("0x" + signed.signature.hex().removeprefix("0x"))
    assert recovered(DOMAIN.digest(SAMPLE, values), pasted) == SigningKey(secret).address


def test_json_has_what_eip712_asks_for_and_nothing_else() -> None:
    shown = DOMAIN.typed_data(SAMPLE, VALUES)
    assert set(shown) == {"types", "primaryType", "domain", "message"}
    assert set(shown["types"]) == {"EIP712Domain", "Sample"}
    assert [field["type"] for field in shown["types"]["EIP712Domain"]] == ["string", "string", "uint256", "bytes32"]
    for name, part in (("EIP712Domain", "domain"), ("Sample", "message")):
        assert [field["name"] for field in shown["types"][name]] == list(shown[part])
        assert all(set(field) == {"name", "type"} for field in shown["types"][name])


def test_json_carries_integers_as_text_and_the_dao_as_salt() -> None:
    shown = DOMAIN.typed_data(SAMPLE, VALUES)
    assert shown["domain"] == {"name": "Coffer", "version": "1", "chainId": "100", "salt": "0x" + "03" * 32}
    assert shown["message"]["count"] == "18446744073709551615"
    assert shown["message"]["flag"] is True
    assert shown["primaryType"] == "Sample"


@pytest.mark.parametrize(
    "wrong",
    [
        {"digest": bytes(31)},
        {"digest": bytes(33)},
        {"digest": b""},
        {"digest": bytearray(32)},
        {"digest": "0x" + "00" * 32},
        {"digest": None},
        {"who": bytes(19)},
        {"who": bytes(32)},
        {"text": None},
        {"text": b"text"},
        {"text": 1},
        {"text": "a" * (TEXT_BYTES_MAX + 1)},
        {"text": "\ud800"},
        {"flag": 1},
        {"flag": None},
        {"small": 256},
        {"small": -1},
        {"small": True},
        {"small": 1.0},
        {"small": "1"},
        {"count": 2**64},
        {"large": 2**256},
        {"extra": 0},
    ],
    ids=lambda wrong: f"{next(iter(wrong))}={str(next(iter(wrong.values())))[:24]!r}",
)
def test_one_wrong_value_is_refused_not_coerced(wrong: dict[str, Any]) -> None:
    assert DOMAIN.digest(SAMPLE, VALUES)
    for use in (DOMAIN.digest, DOMAIN.typed_data):
        with pytest.raises(MalformedObject):
            use(SAMPLE, VALUES | wrong)


@pytest.mark.parametrize("name", VALUES)
def test_a_missing_value_is_refused(name: str) -> None:
    with pytest.raises(MalformedObject):
        DOMAIN.digest(SAMPLE, {key: value for key, value in VALUES.items() if key != name})


@pytest.mark.parametrize("change", [{"chain_id": 101}, {"dao_id": bytes(32)}], ids=str)
def test_another_chain_or_dao_has_another_digest(change: dict[str, Any]) -> None:
    assert replace(DOMAIN, **change).digest(SAMPLE, VALUES) != DOMAIN.digest(SAMPLE, VALUES)


def test_another_struct_of_the_same_values_has_another_digest() -> None:
    assert DOMAIN.digest(replace(SAMPLE, name="Other"), VALUES) != DOMAIN.digest(SAMPLE, VALUES)


@pytest.mark.parametrize(
    "domain", [replace(DOMAIN, dao_id=bytes(31)), replace(DOMAIN, chain_id=-1)], ids=["id", "chain"]
)
def test_a_domain_out_of_bounds_signs_nothing(domain: Domain) -> None:
    for use in (domain.digest, domain.typed_data, domain.digest):
        with pytest.raises(MalformedObject):
            use(SAMPLE, VALUES)


@pytest.mark.parametrize(
    "kind", ["uint", "uint0", "uint7", "uint264", "uint08", "int8", "bytes", "bytes31", "Person", ""]
)
def test_a_field_of_another_type_has_no_value(kind: str) -> None:
    struct = Struct("Sample", (("field", kind),))
    for value in (0, b"", bytes(31), "", {}):
        with pytest.raises(MalformedObject):
            DOMAIN.digest(struct, {"field": value})


@given(st.integers(1, 32), st.data())
def test_every_width_of_integer_ends_where_it_says(size: int, data: st.DataObject) -> None:
    value = data.draw(st.integers(0, (1 << 8 * size) - 1))
    assert word(f"uint{8 * size}", value) == value.to_bytes(32, "big")
    for outside in (1 << 8 * size, -1):
        with pytest.raises(MalformedObject):
            word(f"uint{8 * size}", outside)


def test_what_was_computed_before_changes_nothing() -> None:
    struct, domain = replace(SAMPLE), replace(DOMAIN)
    first = domain.digest(struct, VALUES)
    for used, fresh in ((struct, replace(SAMPLE)), (domain, replace(DOMAIN))):
        assert (used, hash(used), repr(used)) == (fresh, hash(fresh), repr(fresh))
    for again in (pickle.loads(pickle.dumps(domain)), replace(domain)):  # noqa: S301
        assert again.digest(pickle.loads(pickle.dumps(struct)), VALUES) == first  # noqa: S301
    assert replace(domain, chain_id=101).separator() != domain.separator() == replace(DOMAIN).separator()


def test_keccak_is_the_one_of_ethereum() -> None:
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
