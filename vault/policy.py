"""A policy: which datasets may be asked, by whom, at what price, within what limits, on which machines.

Its words, one by one: `docs/policy.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.attribution import Attribution
from vault.charter import BASIS_POINTS
from vault.codec import Address, Label, Length, Record, record
from vault.currency import check_currency
from vault.dataset import DATASETS_MAX as DATASETS_MAX
from vault.dataset import DatasetRef
from vault.errors import AccessDenied, MalformedObject
from vault.expectation import FIELDS_MAX, GPU, KINDS, Expectation, Form, Rule, require_complete
from vault.license import License
from vault.licensees import Licensees
from vault.output_rules import OutputRules
from vault.pricing import PRICE_MAX as PRICE_MAX
from vault.pricing import TIERS_MAX, Tier, check_tiers, tier_at
from vault.tee_kind import SIMULATED as SIMULATED
from vault.voucher_rules import VoucherRules

TEES_MAX = 32
K_LIMIT = 100  # answers stay far below gRPC's 4 MiB


@record
class AcceptedTee(Record):
    """One kind of machine running one measured program: what every field of its evidence has to be."""

    kind: Annotated[str, Length(1, 20)]
    expectations: Annotated[tuple[Expectation, ...], Length(1, FIELDS_MAX)]  # of the CPU's evidence
    cpu_only: bool  # said aloud: no GPU is vouched for, and none is judged
    gpu: Annotated[tuple[Expectation, ...], Length(0, FIELDS_MAX)]  # of every GPU bound by it (rule E2)

    def check(self) -> None:
        """Refuse an entry that leaves a field of its kind unsaid."""
        if self.kind not in KINDS:
            raise MalformedObject(f"there is no TEE of kind {self.kind!r}; there are {', '.join(sorted(KINDS))}")
        require_complete(self.expectations, KINDS[self.kind], self.kind)
        if self.cpu_only:
            if self.gpu:
                raise MalformedObject("an entry for the CPU only expects nothing of a GPU")
            return
        require_complete(self.gpu, GPU, "gpu")

    @classmethod
    def simulated(cls, measurement: bytes, simulator: bytes) -> AcceptedTee:
        """Return the entry for one program under one install's simulator, which protects nothing."""
        expectations = (
            Expectation(field="measurement", rule=Rule.ONE_OF, values=(measurement,)),
            Expectation(field="simulator", rule=Rule.ONE_OF, values=(simulator,)),
        )
        return cls(kind=SIMULATED, expectations=expectations, cpu_only=True, gpu=())

    def measurements(self) -> tuple[bytes, ...]:
        """Return every measurement it accepts: what a revocation can name."""
        fields = KINDS[self.kind]
        return tuple(
            value
            for expectation in self.expectations
            if fields[expectation.field].form is Form.MEASUREMENT
            for value in expectation.values
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """What one licensee may do under one policy: the proof that searching and charging need."""

    policy: Cid
    licensee: bytes
    holder: bytes  # whose extraction budget it counts against
    k: int
    price_max: int  # what an answer of k passages costs


@record
class Policy(Record):
    """What a DAO allows. It takes effect when a decision puts it into the head, and only while it stands there."""

    TYPE: ClassVar[str] = "coffer/policy/v1"

    genesis: Cid
    title: Label
    datasets: Annotated[tuple[DatasetRef, ...], Length(1, DATASETS_MAX)]
    licensees: Licensees
    currency: Annotated[str, Length(1, 12)]
    price_per_query: int  # micro-units
    price_per_passage: int  # micro-units, of each passage returned
    k_max: int
    queries_per_minute: int  # of one licensee
    passages_max: int  # extraction budget: distinct passages that one licensee, or all strangers together, may ever see
    corpus_bps: int  # of each dataset's passages, in basis points: what may ever be seen of it
    owner_bps: int  # of each owner's passages in all of the policy's datasets
    tees: Annotated[tuple[AcceptedTee, ...], Length(1, TEES_MAX)]
    configurations: Annotated[tuple[Cid, ...], Length(1, TEES_MAX)]  # accepted enclave configurations (rule E3)
    output: OutputRules
    treasury: Address  # also signs the deposits that credit enters by (rule L2)
    operator: Address
    treasury_bps: int
    operator_bps: int
    attribution: Attribution = Attribution.RANK  # by what the rest is split among the owners
    expires_at: int  # UTC seconds; at this very second it is already too late
    free_queries: int = 0  # each licensee's first answers, which cost nothing
    tiers: Annotated[tuple[Tier, ...], Length(0, TIERS_MAX)] = ()  # other prices, after so many answers
    vouchers: VoucherRules | None = None  # None: prepaid credit alone

    def check(self) -> None:
        """Refuse a policy that could never admit anyone, or that divides more than there is."""
        self._check_lists()
        self._check_limits()
        self._check_prices()
        owners, needed = len(self.owners()), f"an answer needs {self.output.owners_min} owners behind it"
        if self.output.owners_min > owners:
            raise MalformedObject(f"{needed}, and the datasets have {owners}")
        if self.output.owners_min > self.k_max:
            raise MalformedObject(f"{needed}, and holds {self.k_max} passages at most")
        if self.output.owners_min > self.passages_max:
            raise MalformedObject(f"{needed}, and the extraction budget is {self.passages_max} passages")

    def _check_lists(self) -> None:
        if len({(dataset.owner, dataset.dataset) for dataset in self.datasets}) != len(self.datasets):
            raise MalformedObject("a dataset stands in a policy once, in one version")
        pinned = [dataset.manifest for dataset in self.datasets if dataset.manifest is not None]
        if len(set(pinned)) != len(pinned):
            raise MalformedObject("a manifest stands in a policy once: it is of one owner and one dataset")
        if len(set(self.tees)) != len(self.tees):
            raise MalformedObject("an accepted TEE stands in a policy once")
        if len(set(self.configurations)) != len(self.configurations):
            raise MalformedObject("an accepted configuration stands in a policy once")

    def _check_limits(self) -> None:
        if not 1 <= self.k_max <= K_LIMIT:
            raise MalformedObject(f"k is 1 … {K_LIMIT}")
        if self.queries_per_minute < 1:
            raise MalformedObject("with 0 queries a minute nobody could ever ask")
        if self.passages_max < 1:
            raise MalformedObject("with an extraction budget of 0 passages no answer could ever leave")
        if not 1 <= self.corpus_bps <= BASIS_POINTS:
            raise MalformedObject("the share of a dataset that may be seen is 1 … 10000 basis points")
        if not 1 <= self.owner_bps <= BASIS_POINTS:
            raise MalformedObject("the share of an owner's passages that may be seen is 1 … 10000 basis points")

    def _check_prices(self) -> None:
        check_currency(self.currency)
        check_tiers(self.tiers, self.free_queries)
        for one in (self._base(), *self.tiers):
            if one.price_per_query + one.price_per_passage * max(1, self.k_max) > PRICE_MAX:
                raise MalformedObject(f"an answer of k passages costs at most {PRICE_MAX} micro-units")
            if self.licensees.shares_budget and one.price_per_query + one.price_per_passage * self.k_max == 0:
                raise MalformedObject(
                    "anyone who pays may ask, but the price is 0: then nobody pays, and anyone asks forever"
                )
        if self.licensees.shares_budget and self.free_queries:
            raise MalformedObject("anyone who pays may ask, and fresh addresses cost nothing: then nothing can be free")
        if self.vouchers is not None and self.vouchers.unpaid_max < self.price_ever(self.k_max):
            raise MalformedObject(
                f"an answer costs up to {self.price_ever(self.k_max)}, so at least as much has to be allowed unpaid"
            )
        if self.treasury_bps + self.operator_bps > BASIS_POINTS:
            raise MalformedObject("treasury and operator shares are together at most 10000 basis points")

    def admit(self, license: License, *, k: int, at: int, before: int = 0, racing: int = 0) -> Permit:
        """Return the permit that a query needs, or raise `AccessDenied`.

        Args:
            license: already verified; what it says of policy and time is judged here.
            k: passages asked for, at least as many as owners are needed, at most `k_max`; or none at all.
            at: UTC seconds.
            before: answers that the licensee has had.
            racing: others of its questions that may be answered first.
        """
        if at >= self.expires_at:
            raise AccessDenied("the policy has expired; the DAO has to adopt a new one")
        if license.policy != self.cid():
            raise AccessDenied("the license is for another policy; ask the policy's issuer for one")
        self.licensees.require(license)
        if at >= license.expires_at:
            raise AccessDenied("the license has expired; ask the policy's issuer for a new one")
        if k and not self.output.owners_min <= k <= self.k_max:
            raise AccessDenied(f"k must be {self.output.owners_min} … {self.k_max} under this policy")
        return Permit(
            policy=self.cid(),
            licensee=license.licensee,
            holder=self.licensees.holder(license.licensee),
            k=k,
            price_max=self.price_most(k, before=before, racing=racing),
        )

    def price_of(self, passages: int, *, before: int = 0) -> int:
        """Return what an answer of so many passages costs, in micro-units, who has had `before` answers."""
        if before < self.free_queries:
            return 0
        tier = tier_at(self._base(), self.tiers, before) if self.tiers else self
        return tier.price_per_query + tier.price_per_passage * passages

    def price_most(self, passages: int, *, before: int = 0, racing: int = 0) -> int:
        """Return the most that it costs, however many of `racing` other answers come first."""
        if not racing:
            return self.price_of(passages, before=before)
        steps = [self.free_queries, *(tier.after for tier in self.tiers)]
        reached = [step for step in steps if before < step <= before + racing]
        return max(self.price_of(passages, before=count) for count in [before, *reached])

    def price_ever(self, passages: int) -> int:
        """Return the most that an answer of so many passages costs anyone, ever."""
        return max(tier.price_per_query + tier.price_per_passage * passages for tier in (self._base(), *self.tiers))

    def _base(self) -> Tier:
        return Tier(after=0, price_per_query=self.price_per_query, price_per_passage=self.price_per_passage)

    def owners(self) -> tuple[bytes, ...]:
        """Return the owners of its datasets, each once."""
        return tuple(dict.fromkeys(dataset.owner for dataset in self.datasets))

    def accepts_simulated(self) -> bool:
        """Say whether the policy names the simulated TEE, which protects nothing."""
        return any(tee.kind == SIMULATED for tee in self.tees)
