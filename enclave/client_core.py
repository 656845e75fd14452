"""What a client that blocks and one that awaits have in common: questions, spending, receipts."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias, TypedDict, TypeVar

from enclave.answers import Answer, Count, Embedding, ReceiptNotKept
from enclave.client_session import ClientSession, Pending
from enclave.dialing import Dialing
from enclave.lines import HARMLESS
from enclave.patience import UNANSWERED, may_be_repeated
from enclave.payer import Payer
from enclave.spending import Spending
from storage.cid import Cid
from vault.codec import INTEGER_MAX
from vault.errors import CreditExhausted, InvalidReceipt, VaultError, VoucherDue
from vault.evidence import Appraisal
from vault.policy import Policy
from vault.question import PLAIN, Options, Query
from vault.receipt import Receipt, ReceiptFile

K: Final = 5  # passages, where nobody says how many
DRAWN_MAX: Final = 4096  # questions that were made and not asked yet
Keeper = Callable[[Receipt, ReceiptFile], object]
Outcome: TypeAlias = Answer | VaultError
Paid = TypeVar("Paid", Answer, Embedding, Count)


class Asking(TypedDict, total=False):
    """What a question takes beside its text and k."""

    vector: bytes
    datasets: Sequence[Cid]
    options: Options
    price_max: int


class ClientCore:
    """The rules of a client; how its calls are made is its subclasses'."""

    def __init__(
        self, dialing: Dialing, *, max_spend: int | None, keep: Keeper | None, payer: Payer | None = None
    ) -> None:
        self._dialing = dialing
        self._spending = Spending(max_spend)
        self._keep = keep
        self._payer = payer or Payer(dialing.credential, max_spend=max_spend)
        self._drawn: OrderedDict[bytes, None] = OrderedDict()  # request ids that no question was sent with yet
        self._newest: ClientSession | None = None

    @property
    def session(self) -> ClientSession:
        """Return the session used last."""
        if self._newest is None:
            raise ValueError("this client is not connected")
        return self._newest

    @property
    def appraisal(self) -> Appraisal:
        """Return what the enclave proved to be."""
        return self.session.appraisal

    @property
    def policy(self) -> Policy:
        """Return the policy that is asked under."""
        return self.session.policy

    @property
    def spent(self) -> int:
        """Return the micro-units that this client has spent, by its receipts."""
        return self._spending.spent

    @property
    def spend_left(self) -> int | None:
        """Return the micro-units that this client may still spend; None where `max_spend` was not given."""
        return self._spending.left

    def question(
        self,
        text: str = "",
        *,
        k: int | None = None,
        vector: bytes = b"",
        datasets: Sequence[Cid] = (),
        options: Options = PLAIN,
        price_max: int = INTEGER_MAX,
        request_id: bytes | None = None,
        salt: bytes | None = None,
    ) -> Query:
        """Return a question to send once or, after a failed call, again.

        Args:
            text: at most 4096 characters; may stay empty where `vector` asks.
            k: passages wanted; by default 5, or the policy's most if fewer.
            vector: float32 little-endian, length 1.
            datasets: manifests to ask; none for all that the policy names.
            price_max: micro-units; an answer that may cost more is refused.
            request_id: 32 bytes; give the one of a call that failed midway, and its salt, to get that answer without
                a second charge.
        """
        return Query(
            request=request_id or self._draw(),
            policy=self._dialing.credential.license.policy,
            text=text,
            k=self._k(k, options.neighbors),
            salt=salt or secrets.token_bytes(32),
            vector=vector,
            datasets=tuple(sorted(datasets)),
            price_max=price_max,
            options=options,
        )

    def _fresh(self, text: str, k: int | None, request_id: bytes | None, salt: bytes | None, asked: Asking) -> Pending:
        """Return a question to be asked now; with a request id of the caller's, it may have been asked before."""
        query = self.question(text, k=k, request_id=request_id, salt=salt, **asked)
        return self._pending(query)

    def _draw(self) -> bytes:
        """Return a request id that nobody can have used before."""
        request = secrets.token_bytes(32)
        self._drawn[request] = None
        while len(self._drawn) > DRAWN_MAX:
            self._drawn.popitem(last=False)
        return request

    def _pending(self, query: Query) -> Pending:
        """Return a question to be asked now; whether for the first time, its request id tells."""
        is_first = query.request in self._drawn
        self._drawn.pop(query.request, None)
        return Pending(query, int(self._dialing.clock()) if is_first else None)

    def _each(self, queries: Sequence[Query | str], k: int | None, asked: Asking) -> list[Pending]:
        return [
            self._fresh(query, k, None, None, asked) if isinstance(query, str) else self._pending(query)
            for query in queries
        ]

    def _k(self, k: int | None, neighbors: int) -> int:
        return max(1, min(K, self.policy.k_max // (1 + 2 * neighbors))) if k is None else k

    def _hold(self, pending: Pending) -> None:
        """Hold what a question may cost. Raises `CreditExhausted` where `max_spend` forbids."""
        pending.is_uncertain = pending.is_uncertain or self._spending.is_held(pending.query.request)
        self._spending.hold(pending.query.request, self.policy.price_of(pending.query.passages_max))

    def _attempt_failed(self, asked: Iterable[Pending], error: VaultError) -> None:
        """Note where an attempt may have been charged though nobody answered."""
        if isinstance(error, UNANSWERED):
            for pending in asked:
                pending.is_uncertain = True

    def _failed(self, pending: Pending, error: VaultError) -> None:
        """Note that a question has no answer; unless nobody knows whether it was charged, it holds no money."""
        self._attempt_failed([pending], error)
        if isinstance(error, HARMLESS) and not pending.is_uncertain:
            self._spending.release(pending.query.request)

    def _settled(self, pending: Pending, paid: Paid) -> Paid:
        """Count what an answer cost; one that was paid for before this client asked for it cost nothing now."""
        self._spending.settle(pending.query.request, 0 if _is_old(pending, paid) else paid.receipt.price)
        self._counted(pending, paid)
        return paid

    def _counted(self, pending: Pending, paid: Paid) -> None:
        """Count a checked answer, once, among what vouchers are signed for."""
        if not pending.is_counted and not _is_old(pending, paid):
            self._payer.received(paid.receipt.price)
        pending.is_counted = True

    def _kept(self, paid: Paid) -> Paid:
        """Keep an answer's receipt. Raises `ReceiptNotKept`, which bears the answer."""
        if self._keep is not None:
            try:
                self._keep(paid.receipt, paid.file)
            except OSError as error:
                raise ReceiptNotKept(
                    f"the answer was charged and holds, but its receipt could not be kept: {error}", paid
                ) from error
        return paid

    def _outcome(self, pending: Pending, outcome: Outcome) -> Outcome:
        """Return one of several outcomes, settled and kept."""
        if isinstance(outcome, VaultError):
            self._failed(pending, outcome)
            return outcome
        self._settled(pending, outcome)
        try:
            return self._kept(outcome)
        except ReceiptNotKept as error:
            return error

    def _held(self, chunk: Sequence[Pending]) -> tuple[list[int], dict[int, Outcome]]:
        """Hold what each may cost; return the places of those that may be asked, and why the others may not."""
        places, refused = [], dict[int, Outcome]()
        for place, pending in enumerate(chunk):
            try:
                self._hold(pending)
                places.append(place)
            except CreditExhausted as error:
                refused[place] = error
        return places, refused

    def _pended(self, refused: list[tuple[Query, Outcome]], query: Query) -> Pending | None:
        """Return a question that is to go into a stream, its price held; one that may not, note as refused."""
        pending = self._pending(query)
        try:
            self._hold(pending)
        except CreditExhausted as error:
            refused.append((query, error))
            return None
        return pending

    def _repeated(
        self, chunk: Sequence[Pending], outcomes: Mapping[int, Outcome], asked: Sequence[int]
    ) -> tuple[list[int], VaultError | None]:
        """Return the places of those, among the ones just asked, that may be asked again, and a refusal of theirs."""
        again, refusal = [], None
        for place in asked:
            outcome = outcomes[place]
            if isinstance(outcome, VaultError) and (may_be_repeated(outcome) or self._may_pay(outcome)):
                self._attempt_failed([chunk[place]], outcome)
                again.append(place)
                refusal = refusal or outcome
            elif isinstance(outcome, Answer):
                self._counted(chunk[place], outcome)
        return again, refusal

    def _may_pay(self, error: Exception) -> bool:
        """Say whether what was refused may be asked again once the payer has paid."""
        return isinstance(error, VoucherDue) and self._payer.demand()

    def _is_due(self, session: ClientSession) -> bool:
        return self._payer.is_due(session.policy.vouchers)

    def _asked_for(self, pending: Pending | None) -> Pending:
        if pending is None:
            raise InvalidReceipt("request: an answer to a question that was never asked")
        return pending


def _is_old(pending: Pending, paid: Answer | Embedding | Count) -> bool:
    """Say whether an answer was paid for before this client asked for it."""
    return paid.is_repeat and pending.first_asked is None and not pending.is_uncertain
