"""`coffer license`: the issuer grants, the licensee accepts, the DAO revokes."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import wiring
from cli.console import foreign, password_for, reported, say, show_json
from cli.credentials import credential_paths, write_credential
from cli.dao_propose import Wanted, put_to_vote, say_proposed
from cli.options import CustodianOption, GenesisOption, HomeOption, JsonOption, WalletOption, cid_option
from cli.people import address_option
from cli.quantities import seconds_from
from cli.sealed_files import read_bounded, write_private
from cli.tables import show_table
from cli.workplace import history_meant, opened_home, wallet_key
from enclave.credential import Credential
from vault.action import Scope, revocation
from vault.acts import delegate, grant_license
from vault.codec import OBJECT_BYTES_MAX
from vault.errors import AccessDenied, MalformedObject
from vault.grant import Grant
from vault.history import History
from vault.license import AMOUNT_MAX, License
from vault.machine import MachineKey
from vault.policy import Policy
from vault.signing import address_text
from vault.utc import time_text

app = typer.Typer(help="Let apps ask under a policy: grant, accept, list and revoke licenses.")
CREDENTIAL_FOR = "the credential"


@app.command("grant")
def grant(
    licensee: Annotated[str, typer.Argument(help="The licensee's address.")],
    policy: Annotated[str, typer.Option(help="The CID of a policy in force.")],
    wallet: WalletOption,
    file: Annotated[Path, typer.Option("--out", help="Where to write the license file for the licensee.")],
    expires: Annotated[str, typer.Option(help="How long it holds: 30d.")] = "30d",
    force: Annotated[bool, typer.Option("--force", help="Replace the file where there is one.")] = False,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Let one address ask under a policy: as the policy's issuer, or oneself where the policy needs no issuer.

    Give the file to the licensee, who accepts it. It is no secret: nobody else can use it.
    """
    with reported():
        settings, _ = opened_home(home)
        cid, address = cid_option(policy), address_option(licensee)
        if file.exists() and not force:
            raise FileExistsError(f"there is a file at {file} already; name another, or replace it with --force")
        with wiring.open_database(settings) as records:
            board, history = history_meant(records, dao)
            history.head.require_policy(cid)
            adopted = history.policies[cid]
            key = wallet_key(settings, wallet)
            _require_signer(adopted, key.address, address)
            at = wiring.clock()
            license = grant_license(history, adopted, key, address, at=at, expires_at=at + seconds_from(expires))
            adopted.licensees.require(license)
            write_private(file, Grant(license=license, policy=adopted, charter=history.charter).encoded())
            board.put("license", history.genesis, license.cid(), cid, license.encoded())
        if json:
            show_json(_license_json(license, history) | {"file": str(file)})
        else:
            say(f"granted [bold]{license.cid()}[/] to {address_text(address)} until {time_text(license.expires_at)}")
            say(f"in {foreign(str(file))}; next, the licensee: coffer license accept {foreign(str(file))} --wallet W")


@app.command("accept")
def accept(
    file: Annotated[Path, typer.Argument(help="The license file the issuer gave you.")],
    wallet: WalletOption,
    spend_cap: Annotated[int, typer.Option(min=1, max=AMOUNT_MAX, help="Micro-units this credential may ever spend.")],
    expires: Annotated[
        str | None, typer.Option(help="How long the credential holds; as the license by default.")
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make a session key for an app, delegate to it up to a cap, and keep both as a sealed credential.

    The app asks with the credential alone; your wallet stays closed. It is sealed under COFFER_PASSWORD, or asked for.
    """
    with reported():
        settings, place = opened_home(home)
        given = _grant_in(file)
        key = wallet_key(settings, wallet)
        at = wiring.clock()
        given.verify(licensee=key.address, at=at)
        license, seed = given.license, secrets.token_bytes(32)
        ends = license.expires_at if expires is None else min(license.expires_at, at + seconds_from(expires))
        session = MachineKey(seed).public
        delegation = delegate(license, key, given.charter, session, spend_cap=spend_cap, expires_at=ends)
        path = place.credential(str(license.cid()))
        if path.exists():
            raise FileExistsError(f"there is a credential at {path} already; move it away to make another")
        password = password_for(CREDENTIAL_FOR, settings.password)
        write_credential(path, Credential(license=license, delegation=delegation, seed=seed), password)
        if json:
            show_json(
                {
                    "license": str(license.cid()),
                    "credential": str(path),
                    "spend_cap": spend_cap,
                    "expires_at": ends,
                    "policy": str(license.policy),
                    "genesis": str(license.genesis),
                }
            )
        else:
            say(f"credential {foreign(str(path))}; it may spend {spend_cap} micro-units until {time_text(ends)}")
            say("next: coffer query TEXT --enclave HOST:PORT")


def _require_signer(policy: Policy, signer: bytes, licensee: bytes) -> None:
    needed = policy.licensees.signer_of(licensee)
    if signer == needed:
        return
    if policy.licensees.is_self_signed:
        raise AccessDenied(
            f"licensees of this policy sign their own licenses; use the wallet of {address_text(needed)}"
        )
    raise AccessDenied(f"licenses of this policy are granted by {address_text(needed)}; use it")


def _grant_in(file: Path) -> Grant:
    try:
        return Grant.from_bytes(read_bounded(file, OBJECT_BYTES_MAX))
    except MalformedObject as error:
        raise MalformedObject(f"{file} is no license file ({error}); get the one the issuer wrote") from error


@app.command("list")
def list_(dao: GenesisOption = None, home: HomeOption = None, json: JsonOption = False) -> None:
    """List the licenses granted from this home, and the credentials kept in it."""
    from vault.records.board import Board

    with reported():
        settings, place = opened_home(home)
        rows: list[dict[str, Any]] = []
        with wiring.open_database(settings) as records:
            if dao is not None or Board(records).geneses():
                board, history = history_meant(records, dao)
                for _, body in board.list("license", history.genesis):
                    rows.append(_license_json(License.from_bytes(body), history))
        held = [str(path) for path in credential_paths(place)]
        if json:
            show_json({"granted": rows, "credentials": held})
            return
        if rows:
            shown = [(row["license"], row["licensee"], time_text(row["expires_at"]), row["state"]) for row in rows]
            show_table(("license", "licensee", "until", "state"), shown)
        else:
            say("no licenses were granted from this home")
        for path in held:
            say(f"credential {foreign(path)}")


@app.command("revoke")
def revoke(
    license: Annotated[str, typer.Argument(help="The license's CID, or its licensee's address.")],
    wallet: WalletOption,
    custodian: CustodianOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Propose to the DAO to revoke a licensee: every license granted to it before ends once that is carried out."""
    with reported():
        settings, _ = opened_home(home, custodians=tuple(custodian or ()))
        with wiring.open_database(settings) as records:
            board, history = history_meant(records, dao)
            licensee = _licensee(board, license)
            action = revocation(Scope.LICENSEE, licensee)
            said = put_to_vote(settings, board, history, Wanted(action=action), wallet_key(settings, wallet))
        if json:
            show_json(said)
        else:
            say_proposed(said)
            say("the license holds until members vote for it, and somebody runs: coffer dao execute")


def _licensee(board: Any, text: str) -> bytes:
    if text.startswith("0x"):
        return address_option(text)
    cid = cid_option(text)
    body = board.get(cid)
    if body is None or not cid.matches(body):
        raise MalformedObject(f"license {cid} was not granted from this home; name its licensee's address instead")
    return License.from_bytes(body).licensee


def _license_json(license: License, history: History) -> dict[str, Any]:
    return {
        "license": str(license.cid()),
        "licensee": address_text(license.licensee),
        "policy": str(license.policy),
        "issued_at": license.issued_at,
        "expires_at": license.expires_at,
        "state": _state(license, history),
    }


def _state(license: License, history: History) -> str:
    if wiring.clock() >= license.expires_at:
        return "expired"
    if license.policy not in history.policies:
        return "its policy is not in force"
    licensees = history.policies[license.policy].licensees
    since = licensees.revocable_since(license, adopted=history.adopted[license.policy])
    if history.head.revoked_since(Scope.LICENSEE, license.licensee, since):
        return "revoked"
    return "good"
