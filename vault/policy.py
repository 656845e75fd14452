"""A policy: which datasets may be asked, by whom, at what price, within what limits, on which machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from storage.cid import DAG_CBOR, Cid
from vault.charter import BASIS_POINTS
from vault.codec import Address, Label, Length, Record
from vault.errors import AccessDenied, MalformedObject
from vault.expectation import FIELDS_MAX, GPU, KINDS, Expectation, Form, Rule, require_complete
from vault.license import License

DATASETS_MAX = 64
TEES_MAX = 32
K_LIMIT = 100  # answers stay far below gRPC's 4 MiB
PRICE_MAX = 10**12
SIMULATED = "simulated"


@dataclass(frozen=True, slots=True, kw_only=True)
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
    datasets: tuple[Cid, ...]
    k: int
    price: int
    passages_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(Record):
    """What a DAO allows. It takes effect when a decision puts it into the head, and only while it stands there."""

    TYPE: ClassVar[str] = "coffer/policy/v1"

    genesis: Cid
    title: Label
    datasets: Annotated[tuple[Cid, ...], Length(1, DATASETS_MAX)]  # manifests
    issuer: Address  # who may grant licenses
    currency: Annotated[str, Length(1, 12)]
    price_per_query: int  # micro-units
    k_max: int
    queries_per_minute: int
    passages_max: int  # extraction budget: distinct passages one licensee may ever see
    tees: Annotated[tuple[AcceptedTee, ...], Length(1, TEES_MAX)]
    configurations: Annotated[tuple[Cid, ...], Length(1, TEES_MAX)]  # accepted enclave configurations (rule E3)
    treasury: Address  # also signs the deposits that credit enters by (rule L2)
    operator: Address
    treasury_bps: int
    operator_bps: int
    expires_at: int  # UTC seconds; at this very second it is already too late

    def check(self) -> None:
        """Refuse a policy that could never admit anyone, or that divides more than there is."""
        if len(set(self.datasets)) != len(self.datasets):
            raise MalformedObject("a dataset stands in a policy once")
        if any(dataset.codec != DAG_CBOR for dataset in self.datasets):
            raise MalformedObject(
                "a dataset is named by its manifest's CID, which is DAG-CBOR: one name, one revocation"
            )
        if not 1 <= self.k_max <= K_LIMIT or self.queries_per_minute < 1 or self.passages_max < 1:
            raise MalformedObject(f"k is 1 … {K_LIMIT}; rate and extraction budget are at least 1")
        if self.price_per_query > PRICE_MAX:
            raise MalformedObject(f"price per query is at most {PRICE_MAX} micro-units")
        if self.treasury_bps + self.operator_bps > BASIS_POINTS:
            raise MalformedObject("treasury and operator shares are together at most 10000 basis points")

    def admit(self, license: License, *, k: int, at: int) -> Permit:
        """Return the permit that a query needs, or raise `AccessDenied`.

        Args:
            license: already verified; what it says of policy and time is judged here.
            k: passages asked for, 1 … `k_max`.
            at: UTC seconds.
        """
        if at >= self.expires_at:
            raise AccessDenied("the policy has expired; the DAO has to adopt a new one")
        if license.policy != self.cid():
            raise AccessDenied("the license is for another policy; ask the policy's issuer for one")
        if license.issuer != self.issuer:
            raise AccessDenied("the license was not granted by the policy's issuer")
        if at >= license.expires_at:
            raise AccessDenied("the license has expired; ask the policy's issuer for a new one")
        if not 1 <= k <= self.k_max:
            raise AccessDenied(f"k must be 1 … {self.k_max} under this policy")
        return Permit(
            policy=self.cid(),
            licensee=license.licensee,
            datasets=self.datasets,
            k=k,
            price=self.price_per_query,
            passages_max=self.passages_max,
        )

    def accepts_simulated(self) -> bool:
        """Say whether the policy names the simulated TEE, which protects nothing."""
        return any(tee.kind == SIMULATED for tee in self.tees)
