"""dstack evidence: what its events say is what RTMR 3 bears out, once each, and before the application runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha384
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.attestation.claims import Claims
from enclave.attestation.dstack import DstackClaims, verified_dstack
from enclave.attestation.errors import EventLogMismatch, EvidenceMalformed, EvidenceRefused, SignatureInvalid
from enclave.attestation.event_log import (
    EVENT_LOG_BYTES_MAX,
    EVENTS_MAX,
    NAME_BYTES_MAX,
    NO_ACTION,
    PAYLOAD_BYTES_MAX,
    RUNTIME_EVENT,
    authenticated,
    events_from,
)
from enclave.attestation.quote import TdReport, quote_from
from tests.enclave.attestation.captured import case
from tests.enclave.attestation.intel import PINNED, TD
from tests.people import NOW, seeded

Entry = dict[str, Any]

GENUINE = "dstack-quote-report-eventlog"
COMPOSE_HASH = seeded("compose", 32)


def runtime(name: str, payload: bytes = b"", **others: Any) -> Entry:
    return {"imr": 3, "event_type": RUNTIME_EVENT, "event": name, "event_payload": payload.hex(), **others}


def firmware(register: int, label: str) -> Entry:
    digest = seeded(label, 48).hex()
    return {"imr": register, "event_type": 4, "digest": digest, "event": "", "event_payload": "00000000"}


BOOT = [
    runtime("system-preparing"),
    runtime("app-id", COMPOSE_HASH[:20]),
    runtime("compose-hash", COMPOSE_HASH),
    runtime("instance-id", seeded("instance", 20)),
    runtime("boot-mr-done"),
    runtime("os-image-hash", seeded("image", 32)),
    runtime("key-provider", b'{"name":"kms","id":"00"}'),
    runtime("system-ready"),
]
LOG = [*(firmware(register, f"event {register} {n}") for register in (0, 1, 2) for n in (1, 2)), *BOOT]


def digest_of(entry: Entry) -> bytes:
    """Return the digest as dstack's crate cc-eventlog computes it, written down a second time."""
    name, payload = entry["event"], bytes.fromhex(entry["event_payload"])
    if entry["event_type"] != RUNTIME_EVENT:
        return bytes.fromhex(entry["digest"])
    if entry.get("version") == 2:
        quoted = json.dumps(name, ensure_ascii=False)
        return sha384(f'{{"name":{quoted},"payload":"{payload.hex()}","type":134217729}}'.encode()).digest()
    return sha384(b"\x01\x00\x00\x08:" + name.encode() + b":" + payload).digest()


def registers(log: Sequence[Entry]) -> dict[str, bytes]:
    values = [bytes(48)] * 4
    for entry in log:
        if entry["event_type"] != NO_ACTION:
            values[entry["imr"]] = sha384(values[entry["imr"]] + digest_of(entry)).digest()
    return {f"rt_mr{register}": value for register, value in enumerate(values)}


def verified(log: Sequence[Entry], *, quoted: Sequence[Entry] | None = None) -> DstackClaims:
    """Return the claims of a TD that extended `quoted`, `log` if not said otherwise, and shows `log`."""
    machine = TD.with_(body=registers(log if quoted is None else quoted))
    return verified_dstack(machine.quote(), machine.collateral(), json.dumps(log).encode(), at=NOW, pinned=PINNED)


def with_digests(log: Sequence[Entry]) -> list[Entry]:
    return [{**entry, "digest": digest_of(entry).hex()} for entry in log]


class TestCaptured:
    def test_a_genuine_log_is_authenticated(self) -> None:
        found = case(GENUINE)
        files = found.files
        claims = verified_dstack(files["quote"], files["dcap_collateral_v3"], files["dstack_event_log"], at=found.at)
        shown = claims.shown()
        assert {name: shown[name] for name in found.claims} == dict(found.claims)
        assert shown["compose_hash"] == "3763bc34552cf3a27ff71ad5f7a90471562a1a2df552dfc1998cba2d60da27e7"
        assert shown["app_id"] == "3763bc34552cf3a27ff71ad5f7a90471562a1a2d"
        assert shown["instance_id"] == "c3714eb66990eace777b4e664c16e09375dec4c9"
        assert claims.key_provider is not None and json.loads(claims.key_provider)["name"] == "local-sgx"
        assert claims.is_ready and "os_image_hash" not in shown
        assert claims.facts()["tcb_status"] == "UpToDate"

    @pytest.mark.parametrize("case_id", ["dstack-eventlog-payload-swapped", "dstack-eventlog-digest-swapped"])
    def test_a_log_that_lies_is_refused(self, case_id: str) -> None:
        found = case(case_id)
        files = found.files
        with pytest.raises(EvidenceRefused) as refused:
            verified_dstack(files["quote"], files["dcap_collateral_v3"], files["dstack_event_log"], at=found.at)
        assert refused.value.reason == found.reason == "event_log_mismatch"

    def test_each_change_to_a_genuine_event_is_noticed(self) -> None:
        found = case(GENUINE)
        report = quote_from(found.files["quote"]).body
        assert isinstance(report, TdReport)
        log: list[Entry] = json.loads(found.files["dstack_event_log"])
        assert len(authenticated(events_from(json.dumps(log).encode()), report)) == 8
        for place, entry in enumerate(log):
            changes: list[list[Entry]] = [[], [entry, entry], [{**entry, "digest": "11" * 48}]]
            if entry["imr"] == 3:
                changes += [[{**entry, "event": entry["event"] + "x"}], [{**entry, "event_payload": "00"}]]
                assert authenticated(
                    events_from(json.dumps([*log[:place], {**entry, "digest": ""}, *log[place + 1 :]]).encode()), report
                )
            for change in changes:
                broken = json.dumps([*log[:place], *change, *log[place + 1 :]]).encode()
                with pytest.raises(EventLogMismatch):
                    authenticated(events_from(broken), report)

    def test_another_machines_log_does_not_do(self) -> None:
        found, other = case(GENUINE), case("tdx-v5-td15-uptodate")
        files = found.files
        with pytest.raises(EventLogMismatch):
            verified_dstack(
                other.files["quote"], other.files["dcap_collateral_v3"], files["dstack_event_log"], at=other.at
            )


class TestClaims:
    @pytest.mark.parametrize("log", [LOG, with_digests(LOG), BOOT], ids=["0.6", "0.5", "0.6 shortened"])
    def test_every_form_of_log_gives_the_same_claims(self, log: list[Entry]) -> None:
        claims: Claims = verified(log)
        facts, shown = claims.facts(), claims.shown()
        assert claims.kind == "dstack"
        assert (facts["app_id"], facts["compose_hash"]) == (COMPOSE_HASH[:20], COMPOSE_HASH)
        assert (facts["instance_id"], facts["os_image_hash"]) == (seeded("instance", 20), seeded("image", 32))
        assert (facts["key_provider"], facts["is_ready"]) == (b'{"name":"kms","id":"00"}', True)
        assert shown["compose_hash"] == COMPOSE_HASH.hex()
        assert set(facts) <= set(shown)
        json.dumps(shown)

    @pytest.mark.parametrize(
        "name", ["app-id", "compose-hash", "plain", 'quo"te', "back\\slash", "tab\tnew\n", "é🦀\x01"]
    )
    def test_digests_of_version_2_are_canonical_json(self, name: str) -> None:
        names = {entry["event"] for entry in BOOT}
        log = (
            [{**entry, "version": 2} for entry in BOOT] if name in names else [*BOOT, runtime(name, b"\xab", version=2)]
        )
        assert verified(log).compose_hash == COMPOSE_HASH
        assert verified(with_digests(log)).compose_hash == COMPOSE_HASH

    def test_known_digests(self) -> None:
        """From the shared captured log, and the text that dstack's own test of version 2 expects."""
        first = events_from(json.dumps([runtime("system-preparing")]).encode())[0]
        assert first.computed().hex().startswith("f9974020ef507068183313d0ca808e0d1ca9b2d1ad0c61f5784e7157c362c065")
        later = events_from(json.dumps([runtime("compose-hash", b"\xab\xcd", version=2)]).encode())[0]
        text = b'{"name":"compose-hash","payload":"abcd","type":134217729}'
        assert later.computed() == sha384(text).digest()

    def test_events_that_are_not_there_are_not_claims(self) -> None:
        claims = verified(BOOT[:3])
        assert (claims.instance_id, claims.os_image_hash, claims.key_provider, claims.is_ready) == (
            None,
            None,
            None,
            False,
        )
        assert not {"instance_id", "os_image_hash", "key_provider"} & set(claims.facts())

    def test_the_application_may_add_events_and_claims_nothing_by_them(self) -> None:
        own = [runtime("started: now", b"at noon"), runtime("started: now", b"again"), runtime("mr-kms", bytes(32))]
        assert verified([*LOG, *own]).facts().keys() == verified(LOG).facts().keys()

    def test_events_that_are_only_logged_extend_nothing(self) -> None:
        log = [{**firmware(0, "not extended"), "event_type": NO_ACTION}, *LOG]
        assert verified(log) == verified(LOG)


class TestRefusals:
    @pytest.mark.parametrize("place", range(len(LOG)))
    def test_a_log_with_an_event_left_out_doubled_or_moved_is_refused(self, place: int) -> None:
        others = [*LOG[:place], *LOG[place + 1 :]]
        for log in (others, [*LOG[:place], LOG[place], *LOG[place:]]):
            with pytest.raises(EventLogMismatch):
                verified(log, quoted=LOG)
        moved = [*others, LOG[place]]
        if registers(moved) != registers(LOG):
            with pytest.raises(EventLogMismatch):
                verified(moved, quoted=LOG)

    @pytest.mark.parametrize("name", sorted(entry["event"] for entry in BOOT))
    def test_dstacks_own_names_stand_once_even_if_replayed(self, name: str) -> None:
        for at in (2, len(BOOT)):
            log = [*BOOT[:at], runtime(name, bytes(32)), *BOOT[at:]]
            with pytest.raises(EventLogMismatch, match="twice"):
                verified(log)

    @pytest.mark.parametrize("name", ["os-image-hash", "key-provider", "instance-id", "rootfs-hash"])
    def test_the_application_cannot_supply_what_dstack_left_out(self, name: str) -> None:
        boot = [entry for entry in BOOT if entry["event"] != name]
        assert verified(boot).is_ready
        with pytest.raises(EventLogMismatch, match="after system-ready"):
            verified([*boot, runtime(name, bytes(32))])

    @pytest.mark.parametrize("name", ["app-id", "compose-hash"])
    def test_an_application_is_named(self, name: str) -> None:
        with pytest.raises(EventLogMismatch, match="compose-hash of 32 bytes"):
            verified([entry for entry in BOOT if entry["event"] != name])

    @pytest.mark.parametrize("size", [0, 20, 31, 33])
    def test_a_compose_hash_is_a_hash(self, size: int) -> None:
        log = [runtime("compose-hash", bytes(size)) if e["event"] == "compose-hash" else e for e in BOOT]
        with pytest.raises(EventLogMismatch, match="compose-hash of 32 bytes"):
            verified(log)

    def test_name_and_payload_cannot_be_parted_otherwise(self) -> None:
        """The digest joins them with a colon: key-provider's JSON could be read as part of a longer name."""
        name, payload = 'key-provider:{"name"', b'"kms","id":"00"}'
        log = [runtime(name, payload) if e["event"] == "key-provider" else e for e in BOOT]
        assert registers(log) == registers(BOOT)
        with pytest.raises(EventLogMismatch, match="not a name"):
            verified(log)

    @pytest.mark.parametrize("version", [1, 2])
    def test_a_digest_counts_only_under_its_own_version(self, version: int) -> None:
        log = [{**entry, "version": version} for entry in BOOT]
        other = [{**entry, "version": 3 - version} for entry in BOOT]
        with pytest.raises(EventLogMismatch, match="RTMR 3"):
            verified(other, quoted=log)

    @pytest.mark.parametrize("register", [0, 1, 2])
    def test_runtime_events_extend_the_application_register_only(self, register: int) -> None:
        with pytest.raises(EventLogMismatch, match="wanted RTMR 3"):
            verified([{**runtime("compose-hash", bytes(32)), "imr": register}, *BOOT])

    def test_other_events_do_not_extend_it(self) -> None:
        with pytest.raises(EventLogMismatch, match="event type"):
            verified([*BOOT, firmware(3, "four")])

    def test_firmware_events_have_digests(self) -> None:
        with pytest.raises(EventLogMismatch, match="no digest"):
            verified([{**LOG[0], "digest": ""}, *LOG[1:]], quoted=LOG)

    def test_an_empty_log_is_no_evidence(self) -> None:
        with pytest.raises(EventLogMismatch):
            verified([])

    def test_a_quote_nobody_signed_is_refused_whatever_the_log(self) -> None:
        machine = TD.with_(body=registers(LOG))
        quote = bytearray(machine.quote())
        quote[600] ^= 1
        with pytest.raises(SignatureInvalid):
            verified_dstack(bytes(quote), machine.collateral(), json.dumps(LOG).encode(), at=NOW, pinned=PINNED)


class TestForm:
    @pytest.mark.parametrize(
        "changed",
        [
            {"imr": 4},
            {"imr": -1},
            {"imr": True},
            {"imr": "3"},
            {"event_type": 1 << 32},
            {"event_type": -1},
            {"digest": "00" * 47},
            {"digest": "zz" * 48},
            {"digest": None},
            {"event": None},
            {"event": "a" * (NAME_BYTES_MAX + 1)},
            {"event_payload": "0"},
            {"event_payload": None},
            {"event_payload": "00" * (PAYLOAD_BYTES_MAX + 1)},
            {"version": 0},
            {"version": 3},
            {"version": None},
        ],
    )
    def test_an_event_of_another_form_is_refused(self, changed: Entry) -> None:
        assert events_from(json.dumps([BOOT[1]]).encode())
        with pytest.raises(EvidenceMalformed):
            events_from(json.dumps([BOOT[1] | changed]).encode())

    @pytest.mark.parametrize("name", ["imr", "event_type", "event", "event_payload"])
    def test_an_event_without_what_it_needs_is_refused(self, name: str) -> None:
        with pytest.raises(EvidenceMalformed):
            events_from(json.dumps([{key: value for key, value in BOOT[1].items() if key != name}]).encode())

    @pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"null", b'[{"imr": 3, "imr": 3}]', b"[" * 100_000])
    def test_what_is_no_list_of_events_is_refused(self, data: bytes) -> None:
        with pytest.raises(EvidenceMalformed):
            events_from(data)

    def test_logs_are_bounded(self) -> None:
        event = {"imr": 3, "event_type": 1, "event": "", "event_payload": ""}
        assert len(events_from(json.dumps([event] * EVENTS_MAX).encode())) == EVENTS_MAX
        with pytest.raises(EvidenceMalformed):
            events_from(json.dumps([event] * (EVENTS_MAX + 1)).encode())
        with pytest.raises(EvidenceMalformed, match="over the limit"):
            events_from(b"[]".ljust(EVENT_LOG_BYTES_MAX + 1))

    @settings(max_examples=150)
    @given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: json.dumps([text]).encode()))
    def test_nothing_else_escapes(self, data: bytes) -> None:
        with pytest.raises(EvidenceRefused):
            verified_dstack(b"", b"", data, at=NOW)

    @settings(max_examples=150)
    @given(st.data())
    def test_a_changed_byte_of_a_log_changes_no_claim(self, data: st.DataObject) -> None:
        report = quote_from(TD.with_(body=registers(LOG)).quote()).body
        assert isinstance(report, TdReport)
        log = bytearray(json.dumps(LOG).encode())
        log[data.draw(st.integers(0, len(log) - 1))] ^= data.draw(st.integers(1, 255))
        try:
            events = authenticated(events_from(bytes(log)), report)
        except EvidenceRefused:
            return
        genuine = authenticated(events_from(json.dumps(LOG).encode()), report)
        assert [(e.name, e.payload) for e in events] == [(e.name, e.payload) for e in genuine]
