"""Arguments and options of `coffer dao`: those that several commands share, and those that say what a charter says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vault.charter import WINDOW_ENTRIES_MAX, WINDOW_PASSAGES_MAX, WINDOW_SPEND_MAX

ProposalArgument = Annotated[str, typer.Argument(help="The proposal's CID.")]

NameArgument = Annotated[str, typer.Argument(help="What people call this DAO.")]
TreasuryOption = Annotated[str, typer.Option(help="Address that earns the treasury's share and attests deposits.")]
MemberOption = Annotated[list[str] | None, typer.Option(help="ADDRESS=WEIGHT, once per member.")]
MembersOption = Annotated[Path | None, typer.Option(help="A CSV file of address,weight lines.")]
DelayOption = Annotated[str, typer.Option(help="From a proposal to its opening: 1h; 0 for none.")]
PeriodOption = Annotated[str, typer.Option(help="How long votes stay open at least: 30s, 3d.")]
ExtensionOption = Annotated[
    str | None, typer.Option(help="A quorum reached so late prolongs voting by as much; 6h at most by default.")
]
RoundOption = Annotated[
    str, typer.Option(help="How long custodians have to hand a ballot on; above their clocks' differences.")
]
TimelockOption = Annotated[str, typer.Option(help="From the close until it may be carried out: 2d; 0 for none.")]
QuorumOption = Annotated[str, typer.Option(help="Weight that must vote, of the total.")]
ThresholdOption = Annotated[str, typer.Option(help="Weight that must be for, of the total: over half.")]
ProposalWeightOption = Annotated[str, typer.Option(help="The least weight that may propose.")]
ProposalsOption = Annotated[str, typer.Option(help="Of one member.")]
DelegationsOption = Annotated[str, typer.Option(help="Delegated votes take effect at most so often.")]
GuardiansOption = Annotated[
    list[str] | None, typer.Option(help="Address that may stop a grant or revoke at once, once per guardian.")
]
TogetherOption = Annotated[
    int | None, typer.Option(min=1, help="Guardians that act together; more than half of them by default.")
]
LeaseOption = Annotated[str, typer.Option(help="How long an enclave serves on one lease, up to 1h.")]
EntriesOption = Annotated[
    int, typer.Option(min=1, max=WINDOW_ENTRIES_MAX, help="Ledger entries an enclave may write per lease.")
]
PassagesOption = Annotated[
    int,
    typer.Option(
        min=1, max=WINDOW_PASSAGES_MAX, help="New passages per licensee and lease; a crash costs each budget as many."
    ),
]
SpendOption = Annotated[
    int,
    typer.Option(
        min=1, max=WINDOW_SPEND_MAX, help="Micro-units per licensee and lease; a crash withholds as many for a day."
    ),
]
ChainOption = Annotated[int, typer.Option(min=1, help="EIP-155 chain that signatures are for.")]
SharesOption = Annotated[int | None, typer.Option(help="t: custodians that rebuild a key.")]
SignaturesOption = Annotated[int | None, typer.Option(help="q: custodians whose leases make an enclave serve.")]
LiarsOption = Annotated[int | None, typer.Option(help="f: custodians that may lie.")]
