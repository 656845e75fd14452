"""An app's credentials: files sealed under a password, found by name, by license, or as the only one there is."""

from __future__ import annotations

from pathlib import Path

from cli.console import password_for
from cli.home import Home, Settings
from enclave.credential import Credential
from storage.cid import Cid
from storage.errors import InvalidCid
from vault.errors import MalformedObject


def credential_paths(place: Home) -> list[Path]:
    """Return the credential files of a home."""
    folder = place.credential("any").parent
    return sorted(path for path in folder.glob("*.credential") if not path.name.startswith("."))


def write_credential(path: Path, credential: Credential, password: str) -> None:
    """Seal a credential into a file."""
    credential.write(path, password=password)


def read_credential(settings: Settings, given: str | None) -> Credential:
    """Open a credential named by file or license CID; by default the only one in the home."""
    path = _path(Home(settings.home), given)
    password = password_for(f"the credential {path.name}", settings.password)
    return Credential.read(path, password=password)


def _path(place: Home, given: str | None) -> Path:
    if given is None:
        known = credential_paths(place)
        if len(known) != 1:
            raise MalformedObject(f"{len(known)} credentials are in {place.path}; name one with --credential FILE")
        return known[0]
    try:
        path = place.credential(str(Cid.parse(given)))
    except InvalidCid:
        path = Path(given)
    if not path.exists():
        raise FileNotFoundError(f"there is no credential at {path}; make one with: coffer license accept")
    return path
