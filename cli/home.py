"""Where a party keeps its files, and its settings: a folder, a TOML file in it, and `COFFER_…` variables over both."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from cli.place_settings import PlaceSettings, checked_names
from vault.earnings import EPOCH_S
from vault.errors import MalformedObject

CONFIG_NAME = "coffer.toml"
EPOCH_S_MAX = 366 * 24 * 3600


class Settings(BaseSettings):
    """What a command is told by environment and file. Flags stand above them."""

    model_config = SettingsConfigDict(env_prefix="COFFER_", extra="forbid")

    home: Path = Field(default_factory=lambda: Path.home() / ".coffer")
    storage: str = ""  # an IPFS node's multiaddr, or a folder; empty: the embedded store in the home folder
    places: Annotated[dict[str, PlaceSettings], AfterValidator(checked_names)] = Field(
        default_factory=dict
    )  # further places for copies of datasets, by the owner's names for them
    copies: int = Field(default=0, ge=0, le=16)  # verified copies wanted of each dataset; 0: one at every place
    records: str = ""  # a database URL; empty: SQLite in the home folder
    custodians: tuple[str, ...] = ()  # host:port of each
    peers: tuple[str, ...] = ()  # custodian: host:port of the others it keeps in touch with
    peers_every_s: int = Field(default=10, ge=1, le=3600)  # custodian: how often it asks each of them
    enclave: str = ""  # host:port
    metrics: str = ""  # terminal: host:port of the enclave's metrics, where its operator lets you read them
    model: str = ""  # a folder with a model's files; empty: the packaged MiniLM
    model_sha256: str = ""  # of that model's weights; pinned, so required with `model`
    dtype: Literal["", "float32", "bfloat16"] = ""  # empty: what this processor is fast at
    index: Literal["exact", "hnsw", "ivf-flat", "ivf-sq8"] = "exact"  # enclave; see `coffer index plan`
    index_recall: str = Field(
        default="95%", pattern=r"^[0-9]{1,2}(\.[0-9]{1,2})?%$"
    )  # enclave: what an approximate index is tuned to
    index_from: int = Field(default=100_000, ge=1000, le=10**9)  # enclave: smaller datasets are searched exactly
    device: Literal["cpu", "cuda"] = "cpu"  # enclave: where it embeds and searches
    reranker: str = ""  # enclave: a folder with a cross-encoder's files; empty: none is offered
    reranker_sha256: str = ""  # over those files; pinned, so required with `reranker`
    tee: Literal["auto", "simulated", "tdx", "snp", "nitro", "dstack"] = "auto"  # enclave: how it proves itself
    pccs: str = "https://api.trustedservices.intel.com"  # enclave, TDX: where Intel's collateral is fetched
    rims: str = ""  # enclave: a folder of NVIDIA's RIM files; empty: no GPU is vouched for
    epoch_s: int = Field(default=EPOCH_S, ge=1, le=EPOCH_S_MAX)  # enclave: how long a royalty epoch is
    lease_skew_s: int = Field(
        default=30, ge=0, le=3600
    )  # custodian: wait this long past a lease before granting another
    production: bool = False  # custodians and clients refuse simulated TEEs whatever a policy says
    password: str = Field(default="", repr=False)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read flags, then environment, then the home folder's file."""
        home = (init_settings().get("home") or env_settings().get("home")) or Path.home() / ".coffer"
        file = TomlConfigSettingsSource(settings_cls, Path(home) / CONFIG_NAME)
        return init_settings, env_settings, file


def settings_from(**flags: Any) -> Settings:
    """Return the settings, with the flags that were given above environment and file.

    Raises: `MalformedObject` naming the setting that cannot be used; never its value, which may be a password.
    """
    try:
        return Settings(**{name: value for name, value in flags.items() if value not in (None, "", ())})
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False, include_context=False)[0]
        name = ".".join(str(part) for part in wrong["loc"])
        raise MalformedObject(f"setting {name!r} cannot be used: {wrong['msg']}") from None
    except (tomllib.TOMLDecodeError, SettingsError) as error:
        raise MalformedObject(f"the settings cannot be read ({type(error).__name__}); see {CONFIG_NAME}") from None


class Home:
    """One party's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def config(self) -> Path:
        """Settings."""
        return self.path / CONFIG_NAME

    @property
    def blocks(self) -> Path:
        """The embedded block store."""
        return self.path / "blocks"

    @property
    def staging(self) -> Path:
        """Sealed blocks that are not published yet."""
        return self.path / "staging"

    @property
    def records(self) -> Path:
        """The embedded database."""
        return self.path / "records.db"

    @property
    def custodian_key(self) -> Path:
        """A custodian's sealed keys."""
        return self.path / "custodian.key"

    @property
    def simulator_key(self) -> Path:
        """The simulated TEE's key, which protects nothing."""
        return self.path / "simulator.key"

    @property
    def spool(self) -> Path:
        """Where a piece for Filecoin is written before it is sent."""
        return self.path / "spool"

    def token(self, place: str) -> Path:
        """Return where a place's token lies, sealed under a password."""
        return self.path / "tokens" / f"{place}.token"

    @property
    def receipts(self) -> Path:
        """Receipts of this app's queries."""
        return self.path / "receipts"

    @property
    def statements(self) -> Path:
        """Royalty statements of this payee."""
        return self.path / "statements"

    @property
    def vouchers(self) -> Path:
        """What this app received and promised, by payment channel."""
        return self.path / "vouchers"

    @property
    def deposits(self) -> Path:
        """Deposits of this treasury that nobody has said of that they count."""
        return self.path / "deposits"

    def log_head(self, ledger: bytes) -> Path:
        """Return where the last head of a ledger's public log is kept, to hold the next one against."""
        return self.path / "log-heads" / f"{ledger.hex()}.head"

    def wallet(self, name: str) -> Path:
        """Return a wallet's keystore file: by name here, or any path with a separator or suffix."""
        given = Path(name)
        return given if given.suffix or given.name != name else self.path / "wallets" / f"{name}.json"

    @property
    def importing(self) -> Path:
        """What an import is reading; whatever is there after a crash is swept by the next one."""
        return self.path / "importing"

    def carried_receipts(self, manifest: str) -> Path:
        """Return where receipts wait that came with an imported dataset, sealed to its key."""
        return self.path / "carried" / manifest

    def tombstone(self, cid: str) -> Path:
        """Return where a deleted dataset's tombstone is kept; it is public."""
        return self.path / "tombstones" / f"{cid}.tombstone"

    def data_key(self, dataset: bytes, version: int) -> Path:
        """Return where an owner's copy of a data key lies, sealed to the owner's wallet."""
        return self.path / "keys" / f"{dataset.hex()}-v{version}.key"

    def paper_confirmed(self, dataset: bytes, version: int) -> Path:
        """Return the file that is there once the owner has said that a data key's paper shares are safe."""
        return self.path / "keys" / f"{dataset.hex()}-v{version}.paper"

    def credential(self, license_cid: str) -> Path:
        """Return where an app's credential lies, sealed under a password."""
        return self.path / "credentials" / f"{license_cid}.credential"
