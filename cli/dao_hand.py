"""Whose hand signs: a wallet in the home folder, or one elsewhere that is shown the exact words."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, TypeVar

import typer

from cli.console import show_json
from cli.home import Settings
from cli.people import address_option
from cli.workplace import wallet_key
from vault.errors import InvalidSignature
from vault.signing import PersonSigned, SigningKey, wallet_signature_from
from vault.typed_data import Domain

Signed = TypeVar("Signed", bound=PersonSigned)
OwnWalletOption = Annotated[
    str | None, typer.Option("--wallet", help="A wallet's name in the home folder, or a keystore file's path.")
]
TypedDataOption = Annotated[
    bool, typer.Option("--typed-data", help="Print the JSON that eth_signTypedData_v4 takes, and do nothing else.")
]
SignatureOption = Annotated[
    str | None, typer.Option("--signature", help="What the wallet answered: 65 or 64 bytes in hex.")
]


class Hand:
    """Who signs, and how: with a key here, with a signature made elsewhere, or not yet."""

    def __init__(self, address: bytes, *, key: SigningKey | None = None, signature: bytes | None = None) -> None:
        self.address = address
        self._key = key
        self._signature = signature

    def signed(self, record: Signed, domain: Domain) -> Signed:
        """Return the record as its signer signed it; raise `InvalidSignature` where the signature is for another."""
        if self._key is not None:
            return record.signed_by(self._key, domain)
        made = replace(record, signature=self._signature or bytes(65))
        try:
            made.verify(domain)
        except InvalidSignature as error:
            raise InvalidSignature(
                f"{error}, or it signed something else: print the JSON anew with --typed-data, and sign that"
            ) from error
        return made

    def sign(self, digest: bytes) -> bytes:
        """Return the signature of a digest; the one made elsewhere is returned as it is."""
        return self._key.sign(digest) if self._key is not None else self._signature or bytes(65)


def hand_of(
    settings: Settings, wallet: str | None, signer: str | None, signature: str | None, *, typed_data: bool, option: str
) -> Hand:
    """Return who signs, from `--wallet`, or from `option` ADDRESS with `--typed-data` or `--signature`."""
    if wallet is not None:
        if signer is not None or signature is not None or typed_data:
            raise typer.BadParameter(f"a wallet here signs alone; {option} and what follows are for a wallet elsewhere")
        key = wallet_key(settings, wallet)
        return Hand(key.address, key=key)
    if signer is None or typed_data == (signature is not None):
        raise typer.BadParameter(f"name --wallet, or {option} ADDRESS with either --typed-data or --signature")
    return Hand(address_option(signer), signature=None if signature is None else signature_from(signature))


def signature_from(text: str) -> bytes:
    """Return a wallet's answer, or fail as misuse with what is wrong with it."""
    try:
        return wallet_signature_from(text)
    except InvalidSignature as error:
        raise typer.BadParameter(str(error)) from error


def show_typed_data(record: PersonSigned, domain: Domain) -> None:
    """Print exactly what `eth_signTypedData_v4` takes."""
    show_json(typed_data(record, domain))


def typed_data(record: PersonSigned, domain: Domain) -> dict[str, Any]:
    """Return what `eth_signTypedData_v4` takes."""
    return domain.typed_data(record.STRUCT, record.message())
