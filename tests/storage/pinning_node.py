"""A pinning service on loopback that holds every request to the rules of the published OpenAPI description.

Source: ipfs-pinning-service.yaml 1.0.0. What breaks a rule is answered with its `Failure` object and kept in `broken`.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from storage.cid import Cid
from storage.errors import InvalidCid
from tests.storage.web_node import Asked, Handler, WebNode, answered, answered_json

TOKEN = "a-token-that-nobody-may-see"  # noqa: S105
STATES = ("queued", "pinning", "pinned", "failed")
FILTERS = {"cid", "name", "match", "status", "before", "after", "limit", "meta"}
START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class BrokenRule(Exception):
    """A request that the description does not allow."""


class PinningNode:
    """The service: pins move one state on with each question about them.

    Attributes:
        broken: rules that requests broke, which none should.
        doomed: CIDs whose pins fail.
        first: answers requests before the service does, where it yields anything.
    """

    def __init__(self) -> None:
        self.pins: dict[str, dict[str, Any]] = {}
        self.broken: list[str] = []
        self.doomed: set[str] = set()
        self.first: Handler = lambda _: ()
        self._made = 0
        self.web = WebNode(self._answer)

    def __enter__(self) -> "PinningNode":
        self.web.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.web.__exit__()

    def _answer(self, asked: Asked) -> Iterable[bytes]:
        instead = list(self.first(asked))
        if instead:
            return instead
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return [failure("401 Unauthorized", "UNAUTHORIZED", "Access token is missing or invalid")]
        try:
            return [self._dispatched(asked)]
        except BrokenRule as rule:
            self.broken.append(str(rule))
            return [failure("400 Bad Request", "BAD_REQUEST", str(rule))]

    def _dispatched(self, asked: Asked) -> bytes:
        if asked.path == "/pins" and asked.method == "GET":
            return self._listed(asked.query)
        _rule(not asked.query, "only a listing has a query")
        if asked.path == "/pins" and asked.method == "POST":
            return answered_json(self._made_from(asked), status="202 Accepted")
        request_id = unquote(asked.path.removeprefix("/pins/"))
        _rule(asked.path.startswith("/pins/") and "/" not in asked.path[6:], f"no path {asked.path}")
        if request_id not in self.pins:
            return failure("404 Not Found", "NOT_FOUND", "The specified resource was not found")
        match asked.method:
            case "GET":
                return answered_json(self._moved_on(request_id))
            case "POST":
                made = self._made_from(asked)
                del self.pins[request_id]
                return answered_json(made, status="202 Accepted")
            case "DELETE":
                del self.pins[request_id]
                return answered(b"", status="202 Accepted")
        raise BrokenRule(f"no method {asked.method}")

    def _made_from(self, asked: Asked) -> dict[str, Any]:
        _rule(asked.headers.get("content-type") == "application/json", "a pin is application/json")
        pin = json.loads(asked.body)
        _rule(isinstance(pin, dict) and pin.keys() <= {"cid", "name", "origins", "meta"}, "fields of a pin")
        _rule(_is_cid(pin.get("cid")), "cid is required")
        _rule(isinstance(pin.get("name", ""), str) and len(pin.get("name", "")) <= 255, "name of at most 255")
        origins = pin.get("origins", [])
        _rule(isinstance(origins, list) and len(origins) <= 20 and len(set(origins)) == len(origins), "origins")
        _rule(all(isinstance(value, str) for value in pin.get("meta", {}).values()), "meta of strings")
        self._made += 1
        created = (START + timedelta(seconds=self._made, microseconds=self._made)).isoformat().replace("+00:00", "Z")
        request_id = f"request/{self._made}?"  # opaque, so it may hold anything
        status = {"requestid": request_id, "status": "queued", "created": created, "pin": pin, "info": {}}
        self.pins[request_id] = {**status, "delegates": ["/dnsaddr/node.example"]}
        return self.pins[request_id]

    def _moved_on(self, request_id: str) -> dict[str, Any]:
        status = self.pins[request_id]
        now = dict(status)
        is_doomed = status["pin"]["cid"] in self.doomed
        after = {"queued": "pinning", "pinning": "failed" if is_doomed else "pinned"}
        status["status"] = after.get(status["status"], status["status"])
        if status["status"] == "failed":
            status["info"] = {"status_details": "no peer has it"}
        return now

    def _listed(self, query: dict[str, str]) -> bytes:
        _rule(query.keys() <= FILTERS and all(query.values()), f"filters of a listing, not {query}")
        limit = int(query.get("limit", "10"))
        _rule(1 <= limit <= 1000, "limit of 1 to 1000")
        states = query.get("status", "pinned").split(",")
        _rule(set(states) <= set(STATES) and len(set(states)) == len(states), "status of those there are")
        cids = query["cid"].split(",") if "cid" in query else []
        _rule(len(cids) <= 10 and all(map(_is_cid, cids)), "at most ten cids")
        meta = json.loads(query.get("meta", "{}"))
        _rule(isinstance(meta, dict), "meta is an object")
        before, after = (datetime.fromisoformat(query[key]) if key in query else None for key in ("before", "after"))
        found = [
            pin
            for pin in self.pins.values()
            if pin["status"] in states
            and (not cids or pin["pin"]["cid"] in cids)
            and pin["pin"].get("name", "") == query.get("name", pin["pin"].get("name", ""))
            and meta.items() <= pin["pin"].get("meta", {}).items()
            and (before is None or datetime.fromisoformat(pin["created"]) < before)
            and (after is None or datetime.fromisoformat(pin["created"]) > after)
        ]
        found.sort(key=lambda pin: datetime.fromisoformat(pin["created"]), reverse=True)
        return answered_json({"count": len(found), "results": found[:limit]})


def failure(status: str, reason: str, details: str) -> bytes:
    """Return an error as the description has it."""
    return answered_json({"error": {"reason": reason, "details": details}}, status=status)


def _is_cid(text: object) -> bool:
    try:
        return isinstance(text, str) and bool(Cid.parse(text))
    except InvalidCid:
        return False


def _rule(holds: bool, rule: str) -> None:
    if not holds:
        raise BrokenRule(rule)
