"""The whole life of a pin at a service that keeps to the published description, and at one that does not."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.cid import RAW, Cid
from storage.errors import (
    AccessRefused,
    InvalidCid,
    PaymentNeeded,
    PinNotFound,
    RateLimited,
    RequestRefused,
    StorageError,
    StorageUnavailable,
)
from storage.pin import Pin, PinState, page_from, status_from
from storage.pinning import PinningService
from tests.storage.pinning_node import TOKEN, PinningNode, failure
from tests.storage.web_node import Asked, answered, answered_json

CID = Cid.of(RAW, b"a dataset")
OTHER = Cid.of(RAW, b"the next version of it")


@pytest.fixture
def node() -> Iterator[PinningNode]:
    with PinningNode() as started:
        yield started
    assert started.broken == []


@pytest.fixture
def service(node: PinningNode) -> PinningService:
    return PinningService(node.web.url, token=TOKEN, timeout_s=5, allow_private=True)


def test_a_pin_is_queued_then_pinning_then_pinned(node: PinningNode, service: PinningService) -> None:
    origins = ("/ip4/203.0.113.9/tcp/4001/p2p/QmOwner", "/dnsaddr/owner.example")
    asked = Pin(cid=CID, name="dataset é 1", origins=origins, meta={"app": "coffer"})
    added = service.add(asked)
    assert (added.state, added.pin, added.delegates) == (PinState.QUEUED, asked, ("/dnsaddr/node.example",))
    states = [service.status(added.request_id).state for _ in range(4)]
    assert states == [PinState.QUEUED, PinState.PINNING, PinState.PINNED, PinState.PINNED]
    assert [state.is_settled for state in states] == [False, False, True, True]


def test_a_pin_that_fails_says_why(node: PinningNode, service: PinningService) -> None:
    node.doomed.add(str(CID))
    waits: list[float] = []
    failed = service.follow(service.add(Pin(cid=CID)).request_id, wait=waits.append, polls_max=10)
    assert (failed.state, failed.info["status_details"]) == (PinState.FAILED, "no peer has it")
    assert waits == [1.0, 2.0]


def test_following_ends_even_if_the_pin_does_not_settle(node: PinningNode, service: PinningService) -> None:
    request_id = service.add(Pin(cid=CID)).request_id
    waits: list[float] = []
    assert service.follow(request_id, wait=waits.append, polls_max=2).state is PinState.PINNING
    assert len(waits) == 1


def test_following_waits_as_long_as_the_service_says(node: PinningNode, service: PinningService) -> None:
    request_id = service.add(Pin(cid=CID)).request_id
    busy = [answered(b"", status="429 Too Many Requests", headers={"Retry-After": "17"})]
    node.first = lambda _: [busy.pop()] if busy else ()
    waits: list[float] = []
    assert service.follow(request_id, wait=waits.append, polls_max=10).state is PinState.PINNED
    assert waits[0] == 17.0


def test_replacing_makes_a_new_pin_and_ends_the_old(node: PinningNode, service: PinningService) -> None:
    old = service.add(Pin(cid=CID))
    new = service.replace(old.request_id, Pin(cid=OTHER))
    assert (new.pin.cid, new.request_id != old.request_id) == (OTHER, True)
    with pytest.raises(PinNotFound):
        service.status(old.request_id)
    with pytest.raises(PinNotFound):
        service.replace(old.request_id, Pin(cid=OTHER))


def test_removing_ends_it(node: PinningNode, service: PinningService) -> None:
    added = service.add(Pin(cid=CID))
    service.remove(added.request_id)
    with pytest.raises(PinNotFound, match="request/1"):
        service.remove(added.request_id)
    assert list(service.pins()) == []


def test_every_pin_is_listed_over_as_many_pages_as_it_takes(node: PinningNode, service: PinningService) -> None:
    cids = [Cid.of(RAW, str(number).encode()) for number in range(230)]
    for cid in cids:
        service.add(Pin(cid=cid))
    assert [pin.pin.cid for pin in service.pins()] == cids[::-1]
    listings = [asked for asked in node.web.asked if asked.method == "GET"]
    assert [("before" in asked.query) for asked in listings] == [False, True, True]


def test_listings_are_filtered(node: PinningNode, service: PinningService) -> None:
    first = service.add(Pin(cid=CID, name="one", meta={"app": "coffer", "kind": "head"}))
    second = service.add(Pin(cid=OTHER, name="two", meta={"app": "coffer"}))
    assert [pin.pin.cid for pin in service.pins(cids=[CID])] == [CID]
    assert [pin.pin.cid for pin in service.pins(name="two")] == [OTHER]
    assert [pin.pin.cid for pin in service.pins(meta={"kind": "head"})] == [CID]
    assert list(service.pins(states=[PinState.PINNED])) == []
    assert [pin.pin.cid for pin in service.page(after=first.created_text).pins] == [OTHER]
    assert [pin.pin.cid for pin in service.page(before=second.created_text).pins] == [CID]
    assert service.page(limit=1).count == 2


def test_a_pin_of_a_kind_that_is_not_read_here_is_passed_over(node: PinningNode, service: PinningService) -> None:
    service.add(Pin(cid=CID))
    foreign = {**node.pins["request/1?"], "requestid": "foreign"}
    foreign["pin"] = {"cid": "bafyreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5f"}
    listed = answered_json({"count": 2, "results": [node.pins["request/1?"], foreign]})
    node.first = lambda _: [listed]
    page = service.page()
    assert ([pin.pin.cid for pin in page.pins], page.passed_over, page.count) == ([CID], 1, 2)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("400 Bad Request", RequestRefused),
        ("401 Unauthorized", AccessRefused),
        ("403 Forbidden", AccessRefused),
        ("402 Payment Required", PaymentNeeded),
        ("409 Conflict", PaymentNeeded),
        ("404 Not Found", RequestRefused),
        ("413 Content Too Large", RequestRefused),
        ("429 Too Many Requests", RateLimited),
        ("500 Internal Server Error", StorageUnavailable),
        ("503 Service Unavailable", StorageUnavailable),
        ("200 OK", StorageUnavailable),
        ("302 Found", StorageUnavailable),
    ],
)
def test_an_error_is_one_sentence_with_its_reason_and_without_the_token(
    node: PinningNode, service: PinningService, status: str, expected: type[StorageError]
) -> None:
    told = failure(status, "SOME_REASON", f"you sent {TOKEN}\x1b[2J\r\nX: y" + "z" * 1000)
    node.first = lambda _: [told]
    with pytest.raises(expected) as caught:
        service.add(Pin(cid=CID))
    said = str(caught.value)
    assert len(said) < 600
    assert said.isprintable()
    assert status.startswith(("2", "3")) or "SOME_REASON" in said
    error: BaseException | None = caught.value
    while error is not None:
        assert TOKEN not in f"{error!s}{error!r}"
        error = error.__cause__ or error.__context__
    assert TOKEN not in repr(service)
    assert TOKEN not in repr(vars(service)["_place"])


def test_a_wrong_token_is_refused_by_name(node: PinningNode) -> None:
    with pytest.raises(AccessRefused, match="UNAUTHORIZED"):
        PinningService(node.web.url, token="wrong", allow_private=True).add(Pin(cid=CID))  # noqa: S106


@pytest.mark.parametrize("token", ["", " ", "a b\n", "a\r\nX: y", "é", " a", "a\0"])
def test_what_is_no_token_is_misuse_and_not_repeated(token: str) -> None:
    with pytest.raises(ValueError, match="token") as caught:
        PinningService("https://pins.example", token=token)
    assert len(token) < 3 or token not in str(caught.value)


def test_a_token_is_not_sent_in_the_open() -> None:
    with pytest.raises(StorageUnavailable, match="https"):
        PinningService("http://pins.example", token=TOKEN)


def test_a_redirect_takes_the_token_nowhere(node: PinningNode, service: PinningService) -> None:
    with PinningNode() as thief:
        moved = answered(b"", status="307 Temporary Redirect", headers={"Location": f"{thief.web.url}/pins"})
        node.first = lambda _: [moved]
        for call in (lambda: service.add(Pin(cid=CID)), lambda: service.page(), lambda: service.remove("x")):
            with pytest.raises(StorageUnavailable):
                call()
        assert thief.web.asked == []


RIGHT: dict[str, Any] = {
    "requestid": "1",
    "status": "pinned",
    "created": "2026-11-21T12:00:00.123456789Z",
    "pin": {"cid": str(CID), "name": "n", "origins": ["/ip4/1.1.1.1"], "meta": {"a": "b"}},
    "delegates": ["/dnsaddr/x"],
    "info": {"status_details": "fine"},
}


def test_what_services_leave_out_or_null_is_read() -> None:
    pin = {"cid": str(CID), "name": None, "origins": None, "meta": None}
    status = status_from(json.dumps({**RIGHT, "pin": pin, "delegates": [], "info": None}).encode(), name="s")
    assert (status.pin.name, status.pin.origins, status.pin.meta, status.delegates, status.info) == ("", (), {}, (), {})
    assert status.created_text == RIGHT["created"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("requestid", ""), ("requestid", 1), ("requestid", None), ("requestid", "x" * 513), ("requestid", "\x1b[2J"),
        ("status", "done"), ("status", None), ("status", ["pinned"]), ("status", {}),
        ("created", ""), ("created", "yesterday"), ("created", "2026-11-21T12:00:00"), ("created", 5),
        ("pin", None), ("pin", []), ("pin", {}), ("pin", {"cid": 5}), ("pin", {"cid": str(CID), "name": "x" * 256}),
        ("pin", {"cid": str(CID), "meta": {"a": 1}}), ("pin", {"cid": str(CID), "origins": ["x"] * 21}),
        ("delegates", "x"), ("delegates", [1]), ("delegates", ["x"] * 21), ("delegates", ["x" * 5000]),
        ("info", []), ("info", {"a": {}}), ("info", {str(number): "" for number in range(1001)}),
    ],
)  # fmt: skip
def test_one_wrong_field_is_no_answer(field: str, value: object) -> None:
    assert status_from(json.dumps(RIGHT).encode(), name="s").request_id == "1"
    with pytest.raises((StorageUnavailable, InvalidCid)):
        status_from(json.dumps({**RIGHT, field: value}).encode(), name="s")


@pytest.mark.parametrize(
    "page",
    [
        {}, [], {"count": -1, "results": []}, {"count": True, "results": []}, {"count": 1}, {"count": 1, "results": {}},
        {"count": 3, "results": [RIGHT] * 3}, {"count": 1, "results": [None]}, {"count": 1, "results": ["x"]},
    ],
)  # fmt: skip
def test_a_listing_that_is_none_is_no_answer(page: object) -> None:
    assert page_from(json.dumps({"count": 2, "results": [RIGHT]}).encode(), name="s", limit=2).count == 2
    with pytest.raises(StorageUnavailable):
        page_from(json.dumps(page).encode(), name="s", limit=2)


keys = st.sampled_from(sorted(RIGHT)) | st.text()
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(values | st.dictionaries(keys, values, max_size=2).map(lambda changed: {**RIGHT, **changed}) | st.binary())
def test_any_answer_is_a_pin_or_our_own_error(said: object) -> None:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    for read in (lambda: status_from(body, name="s"), lambda: page_from(body, name="s", limit=5)):
        try:
            read()
        except StorageError:
            continue


def test_deep_json_is_our_own_error() -> None:
    with pytest.raises(StorageUnavailable):
        status_from(b"[" * 100_000, name="s")


def answer_about(node: PinningNode, **changed: object) -> None:
    told = answered_json({**RIGHT, **changed}, status="202 Accepted")
    node.first = lambda _: [told]


def test_another_pin_than_the_one_asked_for_is_not_taken(node: PinningNode, service: PinningService) -> None:
    answer_about(node, pin={"cid": str(OTHER)})
    with pytest.raises(StorageUnavailable, match="another"):
        service.add(Pin(cid=CID))
    answer_about(node)
    with pytest.raises(StorageUnavailable, match="another"):
        service.replace("1", Pin(cid=CID))
    ok = answered_json({**RIGHT, "requestid": "2"})
    node.first = lambda _: [ok]
    with pytest.raises(StorageUnavailable, match="another"):
        service.status("1")


def test_a_service_that_repeats_a_page_is_left(node: PinningNode, service: PinningService) -> None:
    again = answered_json({"count": 50, "results": [RIGHT]})
    node.first = lambda _: [again]
    with pytest.raises(StorageUnavailable, match="again"):
        list(service.pins())
    assert len(node.web.asked) <= 3


def test_a_service_that_goes_forward_in_time_is_left(node: PinningNode, service: PinningService) -> None:
    year = iter(range(2027, 3000))

    def later(_: Asked) -> Iterable[bytes]:
        return [answered_json({"count": 9, "results": [{**RIGHT, "created": f"{next(year)}-01-01T00:00:00Z"}]})]

    node.first = later
    with pytest.raises(StorageUnavailable, match="order"):
        list(service.pins())


def test_an_endless_listing_ends_at_the_bound(node: PinningNode, service: PinningService) -> None:
    year = iter(range(3000, 1, -1))

    def earlier(_: Asked) -> Iterable[bytes]:
        return [answered_json({"count": 10**9, "results": [{**RIGHT, "created": f"{next(year)}-01-01T00:00:00Z"}]})]

    node.first = earlier
    with pytest.raises(StorageUnavailable, match="more than 20"):
        list(service.pins(pins_max=20))
    assert len(node.web.asked) <= 22


def test_an_answer_over_the_bound_is_left(node: PinningNode, service: PinningService) -> None:
    large = answered_json({**RIGHT, "padding": "x" * 300_000})
    node.first = lambda _: [large]
    with pytest.raises(StorageUnavailable, match="more than"):
        service.status("1")


@pytest.mark.parametrize("request_id", ["", ".", ".."])
def test_an_id_that_is_a_step_in_a_path_is_misuse(service: PinningService, request_id: str) -> None:
    with pytest.raises(ValueError, match="id"):
        service.remove(request_id)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "x" * 256},
        {"origins": ("a", "a")},
        {"origins": tuple(map(str, range(21)))},
        {"meta": {str(number): "" for number in range(1001)}},
    ],
)
def test_a_pin_that_breaks_the_description_is_misuse(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at most"):
        Pin(cid=CID, **fields)
