"""The compose hash is the one that dstack measures, of a file that lets nothing else in."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.home import Settings
from tests.deploy.scripts import DAO, ran, script
from tests.shared_data import shared

compose_hash = script("dstack/compose-hash")
IMAGE = f"coffer@sha256:{'0' * 64}"
ADDRESSES = (
    "--custodian",
    "c1.example:7440",
    "--custodian",
    "c2.example:7440",
    "--storage",
    "/dns4/ipfs.example/tcp/1",
)
RECORDS = ("--records", "postgresql+psycopg://coffer@db.example/coffer")


# Reference values of dstack's JavaScript SDK, as Dstack-TEE/dstack publishes them beside its Go SDK (Apache-2.0).
COMPOSE_VECTORS = [
    ({"runner": "docker-compose"}, "1120e42a7b5f2ca50128696ea414771441b4fa92373427108a7173181cc80b55"),
    (
        {"runner": "docker-compose", "docker_compose_file": "services:\n  app:\n    image: nginx\n"},
        "1ce6eb200cb550901bf9d1f3b30d3a2a678ae6a7dc7d78ff226dd41d78dbb355",
    ),
    (
        {"text": "你好世界", "runner": "docker-compose", "description": "🚀 Deploy"},
        "735ef5a6a9ac2405dda08948b551c9c7b529f4e4b790d6784ff5e2ee2e394f41",
    ),
    (
        {
            "runner": "docker-compose",
            "docker_compose_file": "docker-compose.yml",
            "future_policy": {"enabled": True, "limits": [1, 2, 3]},
        },
        "c43b5c245b0f5ee1380784e8edc1180846d6f1fdf279a7a80174466647e049b5",
    ),
]


@pytest.mark.parametrize(("compose", "expected"), COMPOSE_VECTORS)
def test_the_compose_hash_is_that_of_dstacks_own_tools(tmp_path: Path, compose: object, expected: str) -> None:
    indented = json.dumps(compose, indent=2).encode()
    form = compose_hash.normalized(indented)
    assert hashlib.sha256(form).hexdigest() == expected
    (tmp_path / "form.json").write_bytes(form)
    done = ran("dstack/compose-hash", tmp_path / "form.json")
    assert (done.stdout.strip(), done.stderr) == (expected, "")


def test_the_hash_is_of_the_bytes_as_they_are_and_says_where_they_are_not_normal(tmp_path: Path) -> None:
    content = b'{ "runner": "docker-compose" }'
    (tmp_path / "file.json").write_bytes(content)
    done = ran("dstack/compose-hash", tmp_path / "file.json")
    assert done.stdout.strip() == hashlib.sha256(content).hexdigest()
    assert COMPOSE_VECTORS[0][1] in done.stderr


@pytest.mark.parametrize("content", [b"[]", b"{}", b"{", b'{"runner":"a","runner":"b"}', b"\xff", b"[" * 100_000])
def test_what_is_no_app_compose_is_refused(content: bytes) -> None:
    with pytest.raises(compose_hash.Refused):
        compose_hash.normalized(content)


@given(st.binary(max_size=200))
def test_any_bytes_are_normalized_or_refused(content: bytes) -> None:
    with contextlib.suppress(compose_hash.Refused):
        assert json.loads(compose_hash.normalized(content))["runner"] is not None


def test_a_real_machines_app_is_named_after_its_compose_hash() -> None:
    """The file behind this hash is not public; what can be checked is how dstack derives one from the other."""
    log = json.loads(shared("evidence/tdx/dstack-quote-report-eventlog/event_log.json").read_bytes())
    payloads = {event["event"]: event["event_payload"] for event in log if event["imr"] == 3}
    assert len(payloads["compose-hash"]) == 64
    assert payloads["app-id"] == payloads["compose-hash"][:40]


def app_compose(*changes: str) -> dict[str, Any]:
    done = ran("dstack/app-compose", "--image", IMAGE, "--dao", DAO, *ADDRESSES, *RECORDS, *changes)
    assert done.returncode == 0, done.stderr
    assert compose_hash.normalized(done.stdout.encode()) == done.stdout.encode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_compose_file_lets_nothing_in_that_is_not_measured() -> None:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML to read the compose file")
    written = app_compose()
    assert (written["allowed_envs"], written["kms_enabled"], written["key_provider"]) == ([], False, "none")
    assert not {"pre_launch_script", "init_script", "bash_script", "docker_config"} & set(written)
    services = yaml.safe_load(written["docker_compose_file"])["services"]
    assert set(services) == {"enclave"}
    enclave = services["enclave"]
    assert enclave["image"] == IMAGE
    assert enclave["command"][:3] == ["enclave", "serve", DAO]
    assert enclave["read_only"] is True
    assert enclave["cap_drop"] == ["ALL"]
    assert enclave["volumes"] == ["/var/run/dstack.sock:/var/run/dstack.sock"]
    assert not {"env_file", "privileged", "network_mode", "pid", "devices"} & set(enclave)
    (gpus,) = enclave["deploy"]["resources"]["reservations"]["devices"]
    assert (gpus["driver"], gpus["capabilities"]) == ("nvidia", ["gpu"])
    assert "${" not in written["docker_compose_file"]
    assert not re.search(r"<\w+>|#", written["docker_compose_file"])


def test_the_enclave_reads_its_settings_from_the_compose_file(monkeypatch: pytest.MonkeyPatch) -> None:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML to read the compose file")
    environment = yaml.safe_load(app_compose()["docker_compose_file"])["services"]["enclave"]["environment"]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.custodians == ("c1.example:7440", "c2.example:7440")
    assert (settings.tee, settings.dtype, settings.storage) == ("dstack", "float32", "/dns4/ipfs.example/tcp/1")


@pytest.mark.parametrize(
    "wrong",
    [
        ("--image", "coffer:latest"),
        ("--dao", "x\n      privileged: true"),
        ("--storage", "/ip4/1.2.3.4/tcp/1\n    privileged: true"),
        ("--records", "sqlite:////tmp/x"),
        ("--custodian", "a:1'"),
    ],
)
def test_nothing_else_slips_into_the_compose_file(wrong: tuple[str, str]) -> None:
    done = ran("dstack/app-compose", "--image", IMAGE, "--dao", DAO, *ADDRESSES, *RECORDS, *wrong)
    assert done.returncode != 0
    assert done.stdout == ""
