"""What can go wrong in the vault, one class per reaction a caller can have."""

from __future__ import annotations


class VaultError(Exception):
    """Base of every error the vault raises on purpose."""


class MalformedObject(VaultError, ValueError):
    """Bytes or fields that are not the object they claim to be; the sender must build it anew."""


class InvalidSignature(VaultError):
    """A signature that does not hold for this signer and these bytes."""


class TamperedSegment(VaultError):
    """A sealed segment that is not the one its manifest names."""


class TamperedManifest(VaultError):
    """A manifest that its owner did not sign as it stands."""


class WrongKey(VaultError):
    """A key or share that does not match its public commitment."""


class LyingCustodian(WrongKey):
    """A custodian, named, handed out a share that breaks its commitment."""


class AccessDenied(VaultError):
    """The policy does not allow this; asking again will not help."""


class Revoked(AccessDenied):
    """It was allowed once, and the DAO has withdrawn it."""


class SessionOver(AccessDenied):
    """The enclave does not know this session, or not any more; a new one can be opened. Nothing was done."""


class CreditExhausted(VaultError):
    """The licensee's prepaid credit, or the session's spend cap, does not cover the price."""


class VoucherDue(CreditExhausted):
    """As much as may be unpaid is unpaid, or would be; hand in a voucher for it, and ask again."""


class BudgetExhausted(VaultError):
    """The license has been shown as many distinct passages as its policy allows."""


class RateExceeded(VaultError):
    """More calls than one caller, or all of them, may make; wait, `wait_s` seconds if it says so, and ask again."""

    def __init__(self, message: str, *, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class Overloaded(VaultError):
    """The service has more to do than it can; come again after `wait_s` seconds. Nothing was charged."""

    def __init__(self, message: str, *, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class RequestConflict(VaultError):
    """This request id was used before for something else."""


class ForkedHistory(VaultError):
    """A head, ledger or manifest that contradicts one already accepted."""


class StaleState(VaultError):
    """An older head, lease or manifest than one already accepted, or one past its time."""


class InvalidDecision(VaultError):
    """A decision whose ballots do not meet the charter's rule."""


class NotYet(VaultError):
    """Allowed, but not at this time; the message says from when."""


class LedgerTampered(VaultError):
    """The ledger's records do not carry the state key's MAC in an unbroken chain."""


class RecordsUnavailable(VaultError):
    """The database cannot be reached or cannot write; nothing was recorded."""


class ServiceUnavailable(VaultError):
    """A service cannot be reached, or did not answer in time; nothing was charged that a retry would not find."""


class ExcessiveDemand(VaultError):
    """An enclave, named, asks to be paid for more than it delivered; keep what it said, and ask it no more."""


class InvalidReceipt(VaultError):
    """A receipt that does not verify; the message names the first fact that is wrong."""
