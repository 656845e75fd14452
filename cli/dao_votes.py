"""`coffer dao propose|vote|execute`: what members do with their wallets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import wiring
from cli.console import reported, say, show_json, warn_simulated
from cli.dao_text import policy_json, say_policy
from cli.options import CustodianOption, GenesisOption, HomeOption, JsonOption, WalletOption, cid_option
from cli.people import address_option
from cli.quantities import basis_points_from, counted, seconds_from
from cli.sealed_files import read_bounded
from cli.tees import shortened, tee_from_json
from cli.workplace import custodians_reached, history_meant, opened_home, wallet_key
from enclave.attestation.errors import EvidenceMalformed
from enclave.attestation.strict_json import object_from
from storage.cid import Cid
from storage.errors import InvalidCid
from vault.acts import adoption, revocation
from vault.assembly import carry_out, cast, put_proposal, standing_of, submit_chain, time_text
from vault.ballot import Proposal, Scope, Support
from vault.errors import MalformedObject, ServiceUnavailable, VaultError
from vault.head import History
from vault.policy import AcceptedTee, Policy

DESCRIPTION_BYTES_MAX = 64 << 10


def propose(
    wallet: WalletOption,
    subject: Annotated[str | None, typer.Argument(help="With --revoke: what to revoke.")] = None,
    dataset: Annotated[list[str] | None, typer.Option(help="A dataset's manifest CID, once per dataset.")] = None,
    enclave: Annotated[list[Path] | None, typer.Option(help="Output of: coffer enclave describe --json.")] = None,
    issuer: Annotated[str | None, typer.Option(help="Address that may grant licenses.")] = None,
    operator: Annotated[str | None, typer.Option(help="Address that earns the operator's share.")] = None,
    treasury: Annotated[str | None, typer.Option(help="Address of the treasury; the charter's by default.")] = None,
    price: Annotated[int, typer.Option(min=0, help="Micro-units a query.")] = 100,
    currency: Annotated[str, typer.Option(help="What the price is in.")] = "USDC",
    k: Annotated[int, typer.Option(min=1, help="Most passages an answer holds.")] = 10,
    budget: Annotated[int, typer.Option(min=1, help="Distinct passages one licensee may ever see.")] = 1000,
    per_minute: Annotated[int, typer.Option(min=1, help="Queries a minute of one licensee.")] = 60,
    treasury_share: Annotated[str, typer.Option(help="The treasury's share of each price.")] = "10%",
    operator_share: Annotated[str, typer.Option(help="The operator's share of each price.")] = "10%",
    expires: Annotated[str, typer.Option(help="How long the policy holds: 30d.")] = "30d",
    title: Annotated[str, typer.Option(help="What people call the policy.")] = "",
    drop: Annotated[list[str] | None, typer.Option(help="A policy's CID to drop at once, once per policy.")] = None,
    revoke: Annotated[Scope | None, typer.Option(help="Take away instead of adopting.")] = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Put a new policy, or a revocation, to the vote, and print the proposal's CID.

    A policy:      coffer dao propose --wallet W --dataset CID --enclave enclave.json --issuer ADDR --operator ADDR

    A revocation:  coffer dao propose --wallet W --revoke policy|dataset|licensee|measurement|dao [SUBJECT]
    """
    _require_one_kind(revoke, subject, names_policy=bool(dataset or enclave or drop))
    with reported():
        settings, _ = opened_home(home)
        with wiring.open_database(settings) as records:
            board, history = history_meant(records, dao)
            policy: Policy | None = None
            if revoke is None:
                tees, configurations = enclaves_from(enclave or [])
                policy = Policy(
                    genesis=history.genesis,
                    title=title,
                    datasets=_datasets_from(dataset or []),
                    issuer=_needed("issuer", issuer),
                    currency=currency,
                    price_per_query=price,
                    k_max=k,
                    queries_per_minute=per_minute,
                    passages_max=budget,
                    tees=tees,
                    configurations=configurations,
                    treasury=address_option(treasury) if treasury else history.charter.treasury,
                    operator=_needed("operator", operator),
                    treasury_bps=basis_points_from(treasury_share),
                    operator_bps=basis_points_from(operator_share),
                    expires_at=wiring.clock() + seconds_from(expires),
                )
                action = adoption(policy.cid(), tuple(cid_option(cid) for cid in drop or ()))
            else:
                action = revocation(revoke, subject_from(revoke, subject))
            key = wallet_key(settings, wallet)
            proposal = put_proposal(board, history, action, key, at=wiring.clock(), policy=policy)
        say_proposed(proposal, policy, json=json)


def say_proposed(proposal: Proposal, policy: Policy | None, *, json: bool) -> None:
    """Print a new proposal: its CID, what it does, and what comes next."""
    if json:
        show_json(
            {
                "proposal": str(proposal.cid()),
                "policy": str(policy.cid()) if policy is not None else None,
                "action": proposal.action.words(),
                "closes_at": proposal.closes_at,
            }
        )
        return
    say(f"proposed [bold]{proposal.cid()}[/]\n{proposal.action.words()}")
    if policy is not None:
        if policy.accepts_simulated():
            warn_simulated()
        say_policy(policy_json(policy))
    say(f"voting is open until {time_text(proposal.closes_at)}; next: coffer dao vote {proposal.cid()} for --wallet W")


def vote(
    proposal: Annotated[str, typer.Argument(help="The proposal's CID.")],
    support: Annotated[Support, typer.Argument(help="Your answer.")],
    wallet: WalletOption,
    reason: Annotated[str, typer.Option(help="Why; it is public.")] = "",
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Answer a proposal. While voting is open you may change your mind: the last answer counts."""
    with reported():
        settings, _ = opened_home(home)
        cid = cid_option(proposal)
        with wiring.open_database(settings) as records:
            board, history = history_meant(records, dao)
            key = wallet_key(settings, wallet)
            ballot = cast(board, history, cid, key, support, at=wiring.clock(), reason=reason)
            tally = standing_of(board, history, cid).tally
        if json:
            show_json(
                {
                    "ballot": str(ballot.cid()),
                    "sequence": ballot.sequence,
                    "for": tally.weight_for,
                    "against": tally.weight_against,
                    "abstain": tally.weight_abstain,
                    "total": tally.total,
                }
            )
            return
        say(f"voted {support}; for {tally.weight_for}, against {tally.weight_against}, of {tally.total}")


def execute(
    proposal: Annotated[str, typer.Argument(help="The proposal's CID.")],
    custodian: CustodianOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Carry out a proposal whose vote has closed, and hand the new head to the custodians. Anyone may.

    Where a custodian is down, the head stands nonetheless; run it again to hand it in.
    """
    with reported():
        settings, _ = opened_home(home, custodians=tuple(custodian or ()))
        with wiring.open_database(settings) as records:
            board, history = history_meant(records, dao)
            after = carry_out(board, history, cid_option(proposal), at=wiring.clock())
            accepted, failures = _submitted(settings, board, after)
        if json:
            show_json({"epoch": after.head.epoch, "head": str(after.head.cid()), "custodians": accepted, **failures})
        else:
            taken = counted(len(accepted), "custodian")
            say(f"epoch [bold]{after.head.epoch}[/], head {after.head.cid()}; taken by {taken}")
        if failures["failed"]:
            address, reason = next(iter(failures["failed"].items()))
            raise ServiceUnavailable(
                f"{counted(len(failures['failed']), 'custodian')} did not take the head, first {address}: {reason}; "
                "it stands, so run the same command again to hand it in"
            )


def _submitted(settings: Any, board: Any, history: History) -> tuple[list[str], dict[str, dict[str, str]]]:
    accepted: list[str] = []
    with custodians_reached(settings) as reached:
        failed = {address: str(error) for address, error in reached.failures.items()}
        for client in reached.clients.values():
            try:
                submit_chain(board, history, client)
                accepted.append(client.address)
            except VaultError as error:
                failed[client.address] = str(error)
    return accepted, {"failed": failed}


def subject_from(scope: Scope, text: str | None) -> bytes:
    """Return a revocation's subject as a person names it: a CID, an address or hex."""
    if scope is Scope.DAO:
        if text is not None:
            raise typer.BadParameter("revoking the whole DAO takes no subject")
        return b""
    if text is None:
        raise typer.BadParameter(f"say which {scope} to revoke")
    if scope is Scope.LICENSEE:
        return address_option(text)
    if scope is Scope.MEASUREMENT:
        return _hex(text, "a measurement")
    return cid_option(text).binary


def enclaves_from(files: list[Path]) -> tuple[tuple[AcceptedTee, ...], tuple[Cid, ...]]:
    """Return the machines and configurations that `coffer enclave describe --json` wrote into files."""
    if not files:
        raise typer.BadParameter("name an enclave with --enclave FILE, the output of: coffer enclave describe --json")
    described = [_enclave_from(file) for file in files]
    tees = dict.fromkeys(tee for tee, _ in described)
    return tuple(tees), tuple(dict.fromkeys(configuration for _, configuration in described))


def _enclave_from(file: Path) -> tuple[AcceptedTee, Cid]:
    data = read_bounded(file, DESCRIPTION_BYTES_MAX)
    try:
        said = object_from(data, what="description", bytes_max=DESCRIPTION_BYTES_MAX)
    except EvidenceMalformed as error:
        raise MalformedObject(
            f"{file} is no JSON object of whole numbers and text in which every member stands once; "
            "write it with: coffer enclave describe DAO --json"
        ) from error
    try:
        tee = tee_from_json(said)
        tee.check()
        return tee, _configuration_from(said.get("configuration"))
    except MalformedObject as error:
        raise MalformedObject(f"{file}: {error}") from error


def _configuration_from(said: object) -> Cid:
    if not isinstance(said, str):
        raise MalformedObject("configuration: a CID was expected, which coffer enclave describe DAO --json prints")
    try:
        return Cid.parse(said)
    except InvalidCid as error:
        raise MalformedObject(f"configuration: {shortened(said)} is not a CID") from error


def _require_one_kind(revoke: Scope | None, subject: str | None, *, names_policy: bool) -> None:
    if revoke is not None and names_policy:
        raise typer.BadParameter("--revoke stands alone; propose the policy separately")
    if revoke is None and subject is not None:
        raise typer.BadParameter("a subject goes with --revoke; name datasets with --dataset")


def _datasets_from(texts: list[str]) -> tuple[Cid, ...]:
    if not texts:
        raise typer.BadParameter("a policy needs --dataset CID; coffer dataset list prints them")
    return tuple(cid_option(text) for text in texts)


def _needed(option: str, text: str | None) -> bytes:
    if text is None:
        raise typer.BadParameter(f"a policy needs --{option} ADDRESS")
    return address_option(text)


def _hex(text: str, what: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise typer.BadParameter(f"{what} is written in hex") from error
