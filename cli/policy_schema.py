"""The words of a policy file as editors and readers want them: a JSON schema, and the table of `docs/policy.md`."""

from __future__ import annotations

from typing import Any

from cli.policy_words import WORDS, Section, Word


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) by which editors check policy files."""
    properties, required = {}, []
    for word in WORDS:
        properties[word.key] = _schema_of(word)
        if word.is_needed if isinstance(word, Section) else word.default is None:
            required.append(word.key)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Policy of a Coffer DAO",
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }


def _schema_of(word: Word | Section) -> dict[str, Any]:
    if isinstance(word, Word):
        said = {"default": _default(word)} if word.default else {}
        return {"description": word.means, **word.schema, **said}
    one_of = {"minProperties": 1, "maxProperties": 1} if word.key == "licensees" else {}
    return {
        "description": word.means,
        "type": "object",
        "additionalProperties": False,
        "required": [inner.key for inner in word.words if inner.default is None],
        "properties": {inner.key: _schema_of(inner) for inner in word.words},
        **one_of,
    }


def _default(word: Word) -> str | int:
    text = word.default or ""
    return int(text) if text.isdigit() else text


def markdown_table() -> str:
    """Return the table of `docs/policy.md`."""
    lines = ["| Key | Means | By default |", "|---|---|---|"]
    for word in WORDS:
        if isinstance(word, Word):
            lines.append(_row(word.key, word))
            continue
        lines.append(f"| **`{word.key}`** | {word.means} | {'' if word.is_needed else word.without} |")
        lines += [_row(f"{word.key}.{inner.key}", inner) for inner in word.words]
    return "\n".join(lines)


def _row(key: str, word: Word) -> str:
    default = "needed" if word.default is None else f"`{word.default}`" if word.default else ""
    return f"| `{key}` | {word.means} | {default} |"
