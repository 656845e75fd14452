"""Neither a log line nor an exception may carry a key, a password, a question or a passage.

The check is static: it reads our own source and looks at what is formatted into log calls and into the arguments of
`raise`. It goes by names, so it finds a careless line, not a determined one. A name is looked at only where its value
would be printed: `len(text)`, a comparison or a constant beside it prints nothing of it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from cli.custodian_backup import BackupHead
from cli.keyring import _Secrets
from enclave.credential import Credential
from vault.codec import Record
from vault.receipt import OpenedPassage

ROOT = Path(__file__).parent.parent
PACKAGES = ("cli", "tui", "enclave", "vault", "rag", "storage")
SECRET_WORDS = frozenset(
    {"key", "keys", "secret", "secrets", "password", "passphrase", "plaintext", "plain", "text", "texts", "query",
     "seed", "share", "shares", "passage", "passages", "body", "bodies", "private"}
)  # fmt: skip
LOG_METHODS = frozenset({"debug", "info", "warning", "error", "critical", "exception", "log"})
LOGGERS = frozenset({"log", "logger", "logging", "LOG", "LOGGER"})
PRINTS_NOTHING_OF = frozenset({"len", "type", "isinstance", "bool"})

ALLOWED: dict[tuple[str, str], str] = {
    # (file, expression) → why its value is no secret
    ("cli/custodian.py", "place.custodian_key"): "the path of a file",
    ("cli/dao_archive.py", "text"): "the path of a file, as a person wrote it",
    ("cli/options.py", "text"): "a CID that a person mistyped on the command line, shown to that person",
    ("cli/people.py", "text"): "a voting weight, likewise",
    ("cli/quantities.py", "text"): "a duration or a share, likewise",
    ("enclave/attestation/intel.py", "quote.body"): "the type of a quote's body",
    ("enclave/attestation/quote.py", "body_type"): "a number of the quote's header",
    ("enclave/attestation/quote.py", "key_type"): "a number of the quote's header",
    ("enclave/attestation/snp.py", "report.signing_key"): "which kind of key signed a report, a number",
    ("enclave/gathering.py", "answer.custodian.key"): "a custodian's public key: its name in the charter",
    ("enclave/state_key.py", "custodian.key"): "a custodian's public key: its name in the charter",
    ("vault/keys.py", "shares"): "how many shares are needed, a number of the charter",
    ("vault/signing.py", "text"): "a wallet's address, which is public",
}


def printed_secrets(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and expression for everything secret by its name that a log call or a `raise` would print."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _is_log(node):
            printed = [*node.args, *(keyword.value for keyword in node.keywords)]
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            printed = [*node.exc.args, *(keyword.value for keyword in node.exc.keywords)]
        else:
            continue
        for argument in printed:
            for name in _names(argument):
                if _words(name) & SECRET_WORDS:
                    yield node.lineno, ast.unparse(name)


def _is_log(call: ast.Call) -> bool:
    function = call.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr in LOG_METHODS
        and isinstance(function.value, ast.Name)
        and function.value.id in LOGGERS
    )


def _names(node: ast.expr) -> Iterator[ast.Name | ast.Attribute]:
    """Yield the names and attributes whose values `node` would print, at their outermost."""
    match node:
        case ast.Name() | ast.Attribute():
            yield node
        case ast.Call(func=ast.Name(id=function)) if function in PRINTS_NOTHING_OF:
            return
        case ast.Call(func=function, args=arguments, keywords=keywords):  # a function's own name is not printed
            if isinstance(function, ast.Attribute):
                yield from _names(function.value)  # key.hex(), text.strip()
            for argument in [*arguments, *(keyword.value for keyword in keywords)]:
                yield from _names(argument)
        case ast.Compare():
            return
        case ast.IfExp(body=body, orelse=orelse):
            yield from _names(body)
            yield from _names(orelse)
        case _:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    yield from _names(child)


def _words(name: ast.Name | ast.Attribute) -> set[str]:
    """Return the words of the last part of a dotted name: of `grounds.state_key`, state and key."""
    last = name.id if isinstance(name, ast.Name) else name.attr
    if last.isupper() or last.endswith(("_max", "_bytes", "_count", "_version")):
        return set()  # a constant of ours, or a number about something
    return set(re.split(r"_+", last.lower()))


def _sources() -> list[str]:
    return sorted(
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "v1" not in path.relative_to(ROOT).parts
    )


@pytest.mark.parametrize("file", _sources())
def test_nothing_secret_by_its_name_is_printed(file: str) -> None:
    found = [
        f"{file}:{line}: {expression}"
        for line, expression in printed_secrets((ROOT / file).read_text(encoding="utf-8"))
        if (file, expression) not in ALLOWED
    ]
    assert found == []


@pytest.mark.parametrize("file", sorted({file for file, _ in ALLOWED}))
def test_what_is_allowed_is_still_there(file: str) -> None:
    present = {expression for _, expression in printed_secrets((ROOT / file).read_text(encoding="utf-8"))}
    assert {expression for allowed, expression in ALLOWED if allowed == file} <= present


@pytest.mark.parametrize(
    "line",
    [
        'raise ValueError(f"wrong key {data_key.hex()}")',
        'raise ValueError("wrong key " + data_key.hex())',
        'raise ValueError("no answer to %s" % query)',
        'raise ValueError("no answer to {}".format(query))',
        'raise NotFound(f"{self.settings.password!r} does not open it") from error',
        'raise NotFound(f"nothing like {request.text[:20]}")',
        'raise NotFound(f"{plaintext if is_short else 1}")',
        'log.warning("asked %s", query)',
        'logger.error(f"{secret}")',
        'logging.info("x", extra={"seed": seed})',
    ],
)
def test_a_careless_line_is_found(line: str) -> None:
    assert len(list(printed_secrets(line))) == 1


@pytest.mark.parametrize(
    "line",
    [
        'raise ValueError("a key has 32 bytes")',
        'raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")',
        'raise ValueError(f"{type(secret).__name__} is no key")',
        'raise ValueError("text" if text == "" else "other")',
        'log.warning("not serving: %s", error)',
        "raise error",
        'show(f"{query}")',
    ],
)
def test_a_careful_line_is_left_alone(line: str) -> None:
    assert list(printed_secrets(line)) == []


@pytest.mark.parametrize(
    ("kind", "secret"),
    [(Credential, {"seed"}), (BackupHead, {"seed"}), (_Secrets, {"key", "shares"}), (OpenedPassage, {"body"})],
)
def test_records_of_secrets_print_none_of_them(kind: type[Record], secret: set[str]) -> None:
    assert {item.name for item in fields(kind) if not item.repr} >= secret


def test_a_record_hides_fields_and_not_itself() -> None:
    """Records print as `Record` says, so what a class says of its own `repr` hides nothing."""
    hiding = re.compile(r"^@dataclass\([^)]*repr=False[^)]*\)\nclass \w+\([^)]*(?:Record|Signed)\b", re.MULTILINE)
    assert hiding.search("@dataclass(frozen=True, repr=False)\nclass Key(Record):")
    sources = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    assert [str(path) for path in sources if hiding.search(path.read_text())] == []
