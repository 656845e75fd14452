"""Payment channels and the vouchers drawn on them, in x402's form (rule L5).

A channel's configuration and a voucher are the structs `ChannelConfig` and `Voucher` of the x402 scheme
`batch-settlement` on EVM chains (x402-foundation/x402, `specs/schemes/batch-settlement`), under that contract's own
EIP-712 domain: the contract takes what is signed here. A voucher is cumulative: the highest one stands for all before
it, so it bears neither nonce nor expiry. What ends is the channel.

The configuration names payee and currency, the domain chain and contract, the salt ledger and licensee. A `Channel` is
the treasury's word that so much lies in escrow under it: an enclave sees no chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, ClassVar, Final, Self

from storage.cid import Cid
from vault.codec import Address, Digest, Length, Record, WalletSignature, encode, record
from vault.currency import check_currency
from vault.errors import AccessDenied, InvalidSignature, MalformedObject
from vault.license import AMOUNT_MAX
from vault.signing import PersonSigned, SigningKey, recovered
from vault.typed_data import ContractDomain, Struct
from vault.voucher_rules import WITHDRAW_DELAY_LEAST, WITHDRAW_DELAY_MOST, VoucherRules

DOMAIN_NAME: Final = "x402 Batch Settlement"
DOMAIN_VERSION: Final = "1"
NOBODY: Final = bytes(20)
VOUCHER_BYTES_MAX: Final = 512
CHANNEL_BYTES_MAX: Final = 4096

CONFIG_STRUCT: Final = Struct(
    "ChannelConfig",
    (
        ("payer", "address"),
        ("payerAuthorizer", "address"),
        ("receiver", "address"),
        ("receiverAuthorizer", "address"),
        ("token", "address"),
        ("withdrawDelay", "uint40"),
        ("salt", "bytes32"),
    ),
)
VOUCHER_STRUCT: Final = Struct("Voucher", (("channelId", "bytes32"), ("maxClaimableAmount", "uint128")))


@record
class ChannelConfig(Record):
    """What a channel is, for ever; its id is the EIP-712 digest of these fields."""

    payer: Address  # whose tokens lie in escrow
    payer_authorizer: Address  # who signs vouchers; zeros: the payer
    receiver: Address  # the treasury
    receiver_authorizer: Address  # who may claim for it
    token: Address
    withdraw_delay: int  # seconds
    salt: Digest

    def check(self) -> None:
        """Refuse what the contract refuses."""
        if NOBODY in (self.payer, self.receiver, self.receiver_authorizer, self.token):
            raise MalformedObject("payer, receiver, its authorizer and token of a channel are not the zero address")
        if not WITHDRAW_DELAY_LEAST <= self.withdraw_delay <= WITHDRAW_DELAY_MOST:
            raise MalformedObject(f"a withdrawal takes {WITHDRAW_DELAY_LEAST} … {WITHDRAW_DELAY_MOST} s")

    @property
    def signer(self) -> bytes:
        """Return who signs the channel's vouchers."""
        return self.payer_authorizer if self.payer_authorizer != NOBODY else self.payer

    def struct(self) -> dict[str, Any]:
        """Return the struct's values."""
        return {
            "payer": self.payer,
            "payerAuthorizer": self.payer_authorizer,
            "receiver": self.receiver,
            "receiverAuthorizer": self.receiver_authorizer,
            "token": self.token,
            "withdrawDelay": self.withdraw_delay,
            "salt": self.salt,
        }

    def id(self, domain: ContractDomain) -> bytes:
        """Return the channel's id: chain and contract are in it as well."""
        return domain.digest(CONFIG_STRUCT, self.struct())


def settlement_domain(chain_id: int, contract: bytes) -> ContractDomain:
    """Return the domain of x402's settlement contract on a chain."""
    return ContractDomain(name=DOMAIN_NAME, version=DOMAIN_VERSION, chain_id=chain_id, contract=contract)


def channel_salt(genesis: Cid, ledger: bytes, licensee: bytes, currency: str, number: int) -> bytes:
    """Return the salt that ties a channel to one licensee's account in one ledger."""
    return sha256(encode(["coffer/channel-salt/v1", genesis, ledger, licensee, currency, number])).digest()


@record
class Channel(PersonSigned):
    """The receiver's word that a channel holds so much for a licensee's questions, and until when vouchers count."""

    TYPE: ClassVar[str] = "coffer/channel/v1"
    STRUCT: ClassVar[Struct] = Struct(
        "Channel",
        (
            ("channel", "bytes32"),
            ("channelId", "bytes32"),
            ("licensee", "address"),
            ("limit", "uint64"),
            ("currency", "string"),
            ("expiresAt", "uint64"),
        ),
    )

    genesis: Cid
    ledger: Digest
    licensee: Address
    currency: Annotated[str, Length(1, 12)]
    number: int  # of this licensee's channels; another one has another salt
    chain_id: int
    contract: Address
    config: ChannelConfig
    limit: int  # micro-units in escrow: the most that vouchers may come to
    expires_at: int  # UTC seconds; from this very second on, no voucher is taken and nothing may be unpaid

    def check(self) -> None:
        """Refuse a channel of nothing, and a salt that is another account's."""
        if not 0 < self.limit <= AMOUNT_MAX:
            raise MalformedObject(f"a channel holds 1 … {AMOUNT_MAX} micro-units")
        check_currency(self.currency)
        if self.config.salt != channel_salt(self.genesis, self.ledger, self.licensee, self.currency, self.number):
            raise MalformedObject("the channel's salt is not that of this licensee's account in this ledger")

    @property
    def domain(self) -> ContractDomain:
        """Return the domain that vouchers are signed in."""
        return settlement_domain(self.chain_id, self.contract)

    @property
    def id(self) -> bytes:
        """Return the id that vouchers name."""
        return self.config.id(self.domain)

    def signer(self) -> bytes:
        """Return the receiver."""
        return self.config.receiver

    def message(self) -> Mapping[str, Any]:
        """Return what the receiver's wallet shows."""
        return {
            "channel": self.unsigned_digest(),
            "channelId": self.id,
            "licensee": self.licensee,
            "limit": self.limit,
            "currency": self.currency,
            "expiresAt": self.expires_at,
        }

    def require_for(self, rules: VoucherRules, *, genesis: Cid, ledger: bytes, treasury: bytes, currency: str) -> None:
        """Raise `AccessDenied`, naming the fact, unless it is one of this ledger, on the terms of a policy."""
        facts = (
            ("DAO", self.genesis, genesis),
            ("ledger", self.ledger, ledger),
            ("currency", self.currency, currency),
            ("chain", self.chain_id, rules.chain_id),
            ("contract", self.contract, rules.contract),
            ("token", self.config.token, rules.token),
            ("receiver", self.config.receiver, treasury),
        )
        for name, found, wanted in facts:
            if found != wanted:
                raise AccessDenied(f"the channel is for another {name} than the policy's; open one on its terms")
        if self.config.withdraw_delay < rules.withdraw_delay_least:
            raise AccessDenied(
                f"the channel's payer could withdraw within {self.config.withdraw_delay} s; "
                f"the policy wants {rules.withdraw_delay_least} s at least"
            )


@record
class Voucher(Record):
    """The payer's word that the receiver may claim so much from a channel in all, ever."""

    TYPE: ClassVar[str] = "coffer/voucher/v1"

    channel: Digest  # its id
    amount: int  # micro-units, cumulative: `maxClaimableAmount`
    signature: WalletSignature

    def check(self) -> None:
        """Refuse an amount of nothing, or one that no channel holds."""
        if not 0 < self.amount <= AMOUNT_MAX:
            raise MalformedObject(f"a voucher is for 1 … {AMOUNT_MAX} micro-units")

    @classmethod
    def signed(cls, channel: Channel, amount: int, key: SigningKey) -> Self:
        """Return a voucher on a channel. Raises `InvalidSignature` for a key that is not the channel's signer."""
        if key.address != channel.config.signer:
            raise InvalidSignature(f"the channel's vouchers are signed by 0x{channel.config.signer.hex()}")
        return cls(channel=channel.id, amount=amount, signature=key.sign(signed_digest(channel, amount)))

    def verify(self, channel: Channel) -> None:
        """Raise unless the channel's signer signed this for this very channel: `AccessDenied`, `InvalidSignature`."""
        if self.channel != channel.id:
            raise AccessDenied("the voucher is for another channel, chain or ledger; sign one for this channel")
        if recovered(signed_digest(channel, self.amount), self.signature) != channel.config.signer:
            raise InvalidSignature(f"the voucher is not signed by 0x{channel.config.signer.hex()}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeemable:
    """A channel's last voucher, and how much of it was used: what its receiver may claim in all."""

    channel: Channel
    voucher: Voucher
    claimable: int


@record
class Promised(Record):
    """What an entry books of a channel: its opening or new terms, or a voucher on it."""

    channel: Channel | None
    voucher: Voucher | None

    def check(self) -> None:
        """Refuse both at once, and neither."""
        if (self.channel is None) == (self.voucher is None):
            raise MalformedObject("an entry books a channel or a voucher, one of them")


def signed_digest(channel: Channel, amount: int) -> bytes:
    """Return the 32 bytes that a voucher's signature is over."""
    return channel.domain.digest(VOUCHER_STRUCT, {"channelId": channel.id, "maxClaimableAmount": amount})
