"""Wallets: standard Ethereum keystore files (version 3), read with their costs bounded first."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path
from typing import Any

from cli.sealed_files import read_bounded, write_private
from vault.errors import MalformedObject, WrongKey
from vault.signing import SigningKey, address_from

KEYSTORE_BYTES_MAX = 64 << 10
SCRYPT_MEMORY_MAX = 1 << 30  # n·r·128 bytes: geth's standard needs 256 MiB
PBKDF2_ROUNDS_MAX = 10_000_000


def new_wallet(path: Path, password: str, *, rounds: int | None = None, secret: bytes | None = None) -> SigningKey:
    """Make a key and write its keystore file. Raises `FileExistsError` rather than replace a wallet.

    Args:
        rounds: scrypt's n; None for the standard 2^18 (about a second and 256 MiB).
        secret: the key, where it is not a new one.
    """
    if path.exists():
        raise FileExistsError(f"there is a wallet at {path} already; choose another name")
    eth_account = _eth_account()

    secret = secret or secrets.token_bytes(32)
    key = SigningKey(secret)
    keystore = eth_account.Account.encrypt(secret, password, kdf="scrypt", iterations=rounds)
    write_private(path, json.dumps(keystore).encode())
    return key


def open_wallet(path: Path, password: str) -> SigningKey:
    """Return the key of a keystore file. Raises `WrongKey` for a wrong password, `MalformedObject` for a bad file."""
    return SigningKey(wallet_secret(path, password))


def wallet_secret(path: Path, password: str) -> bytes:
    """Return the 32 bytes that a keystore file holds: for paper alone. Raises as `open_wallet` does."""
    keystore = _parsed(path)
    _check_costs(keystore, path)
    eth_account = _eth_account()

    try:
        secret = bytes(eth_account.Account.decrypt(keystore, password))
    except ValueError as error:
        raise WrongKey(f"the password does not open the wallet {path}") from error
    except (KeyError, AttributeError, TypeError, NotImplementedError) as error:  # as eth-account tells other files
        raise MalformedObject(f"{path} is not an Ethereum keystore file (version 3)") from error
    return secret


def wallet_address(path: Path) -> bytes:
    """Return the address that a keystore file says it holds, without opening it."""
    address = _parsed(path).get("address")
    if not isinstance(address, str):
        raise MalformedObject(f"{path} does not say which address it holds")
    return address_from(address)


def _eth_account() -> Any:
    """Import eth-account, and undo what it does to everyone: a recursion limit so high that nested JSON kills us."""
    limit = sys.getrecursionlimit()
    try:
        import eth_account
    finally:
        sys.setrecursionlimit(limit)
    return eth_account


def _parsed(path: Path) -> dict[str, Any]:
    try:
        keystore = json.loads(read_bounded(path, KEYSTORE_BYTES_MAX))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no wallet at {path}; make one with: coffer wallet new") from error
    except (ValueError, RecursionError) as error:
        raise MalformedObject(f"{path} is not an Ethereum keystore file (version 3)") from error
    if not isinstance(keystore, dict) or keystore.get("version") != 3:
        raise MalformedObject(f"{path} is not an Ethereum keystore file (version 3)")
    return keystore


def _check_costs(keystore: dict[str, Any], path: Path) -> None:
    """Refuse a file whose key derivation would exhaust this machine."""
    crypto = keystore.get("crypto") or keystore.get("Crypto")
    parameters = crypto.get("kdfparams") if isinstance(crypto, dict) else None
    if not isinstance(parameters, dict):
        raise MalformedObject(f"{path} is not an Ethereum keystore file (version 3)")
    numbers = [parameters.get(name, 1) for name in ("n", "r", "p", "c")]
    if not all(type(number) is int and number >= 1 for number in numbers):
        raise MalformedObject(f"{path} has unusable key derivation parameters")
    n, r, p, c = numbers
    if n * r * 128 > SCRYPT_MEMORY_MAX or p > 16 or c > PBKDF2_ROUNDS_MAX:
        raise MalformedObject(f"{path} asks for more work or memory than any honest wallet")
