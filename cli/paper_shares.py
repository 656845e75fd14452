"""`coffer dataset backup` and `restore`: an owner's data key as words on paper, and back from it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import wiring
from cli.console import err, foreign, reported, say, show_json
from cli.keyring import read_keys, write_keys
from cli.options import HomeOption, JsonOption, cid_option
from cli.sealed_files import read_bounded, require_folder_of, write_private
from cli.workplace import opened_home, owner_key
from vault.codec import OBJECT_BYTES_MAX
from vault.delivery import manifest_at
from vault.errors import MalformedObject, WrongKey
from vault.keys import SHARES_MAX, SecretKey, share_commitment, verify_key
from vault.manifest import Manifest
from vault.paper import key_from_paper, lists_needed, paper_shares, share_from_words
from vault.publishing import Sealed

WORDS_BYTES_MAX = 64 << 10  # of a file or a pipe: all lists with their comments
_ManifestArgument = Annotated[str, typer.Argument(help="The dataset's CID.")]
_OwnerOption = Annotated[str, typer.Option("--owner", help="The owner's wallet: a name in the home folder, or a path.")]
_StorageOption = Annotated[str | None, typer.Option(help="An IPFS node's multiaddr, or a folder of blocks.")]


def backup(
    manifest: _ManifestArgument,
    owner: _OwnerOption,
    shares: Annotated[int, typer.Option("--shares", min=1, max=SHARES_MAX, help="Lists that rebuild the key.")] = 2,
    of: Annotated[int, typer.Option("--of", min=1, max=SHARES_MAX, help="Lists to make.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Write the lists to this new file instead of printing them.")] = None,
    storage: _StorageOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print a dataset's key as lists of words (SLIP-39), to be kept on paper in different places.

    Whoever has --shares of them has the key, and no revocation reaches it.
    """
    with reported():
        settings, place = opened_home(home, storage=storage)
        found = manifest_at(cid_option(manifest), wiring.open_staging(settings), wiring.open_storage(settings))
        key = owner_key(settings, owner, found)
        if out is not None and out.exists():
            raise FileExistsError(f"there is a file at {out} already; name another one")
        if out is not None:
            require_folder_of(out)
        sealed = read_keys(place.data_key(found.dataset, found.version), found, key)
        lists = paper_shares(sealed.key, shares=shares, of=of)
        warn_of_words(out)
        if out is not None:
            write_private(out, _page(found, lists, shares).encode())
            if json:
                show_json(_facts(found) | {"shares": shares, "of": of, "file": str(out)})
            else:
                say(f"wrote {of} lists of words, {shares} of which rebuild the key, to {foreign(str(out))}")
            return
        if json:
            show_json(_facts(found) | {"shares": shares, "of": of, "lists": lists})
        else:
            sys.stdout.write(_page(found, lists, shares))


def restore(
    manifest: _ManifestArgument,
    owner: _OwnerOption,
    source: Annotated[
        Path | None, typer.Option("--from", help="A file with one list a line; by default they are asked for or piped.")
    ] = None,
    manifest_file: Annotated[
        Path | None, typer.Option("--manifest-file", help="The manifest's bytes, where no storage has them any more.")
    ] = None,
    storage: _StorageOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Rebuild a dataset's key from lists of words and put it back into the owner's keyring.

    The key counts only if it is the one that the owner's manifest commits to.
    """
    with reported():
        settings, place = opened_home(home, storage=storage)
        cid = cid_option(manifest)
        found = (
            manifest_at(cid, wiring.open_staging(settings), wiring.open_storage(settings))
            if manifest_file is None
            else _manifest_from(manifest_file)
        )
        if found.cid() != cid:
            raise MalformedObject(f"{manifest_file} holds manifest {found.cid()}, not {cid}")
        wallet = owner_key(settings, owner, found)
        path = place.data_key(found.dataset, found.version)
        if path.exists():
            raise FileExistsError(f"the key of this dataset is in the keyring already, at {path}; nothing was changed")
        sealed = _sealed(found, key_from_paper(lists_from(source)))
        write_keys(path, sealed, wallet)
        if json:
            show_json(_facts(found) | {"custodian_shares": len(sealed.shares)})
            return
        say(f"the key of [bold]{cid}[/] is back in the keyring")
        if not sealed.shares:
            say("the custodians' shares are not on paper: what they hold stays good, but it cannot be handed out anew")


def _manifest_from(file: Path) -> Manifest:
    data = read_bounded(file, OBJECT_BYTES_MAX)
    try:
        return Manifest.from_bytes(data)
    except MalformedObject as error:
        raise MalformedObject(f"{file} is not a dataset's manifest: {error}") from error


def _facts(manifest: Manifest) -> dict[str, Any]:
    return {
        "manifest": str(manifest.cid()),
        "dataset": manifest.dataset.hex(),
        "key_version": manifest.key_version,
        "genesis": str(manifest.genesis),
    }


def _page(manifest: Manifest, lists: list[str], shares: int) -> str:
    """Return what is printed: facts as comments, which `restore` passes over, and one list a line."""
    lines = [f"# {name} {fact}" for name, fact in _facts(manifest).items()]
    lines.append(f"# SLIP-39, no passphrase: any {shares} of these {len(lists)} lists rebuild the key")
    for number, words in enumerate(lists, 1):
        lines += [f"# list {number} of {len(lists)}", words]
    return "\n".join(lines) + "\n"


def warn_of_words(out: Path | None) -> None:
    """Say in red where the words of a key go, and what to do about it."""
    if out is not None:
        _warn(f"{out} holds the key in the clear; print it, then destroy the file")
    elif sys.stdout.isatty():
        _warn("these words are the key: copy them to paper, then clear this terminal and its scrollback")
    else:
        _warn("these words are the key, and they go where this output is recorded")


def _warn(sentence: str) -> None:
    err.print(f"[bold red]secret:[/] {foreign(sentence)}", soft_wrap=True)


def lists_from(source: Path | None) -> list[str]:
    """Return the lists of a file, of a pipe, or as they are typed."""
    if source is None and sys.stdin.isatty():
        return _typed()
    if source is not None:
        data = read_bounded(source, WORDS_BYTES_MAX)
    else:
        data = sys.stdin.buffer.read(WORDS_BYTES_MAX + 1)
        if len(data) > WORDS_BYTES_MAX:
            raise MalformedObject(f"more than {WORDS_BYTES_MAX} bytes came, so these are no lists of words")
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise MalformedObject("lists of words are plain ASCII text, one list a line")
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _typed() -> list[str]:
    """Ask for as many lists as the first one says are needed; what is typed is not shown."""
    lists: list[str] = []
    needed = 1
    while len(lists) < needed:
        words: str = typer.prompt(f"List {len(lists) + 1} (not shown)", hide_input=True, err=True)
        needed = max(needed, lists_needed(share_from_words(words, len(lists) + 1)))
        lists.append(words)
    return lists


def _sealed(manifest: Manifest, key: SecretKey) -> Sealed:
    """Return the dataset with its key, if it is the manifest's; and its shares, where each is the key itself."""
    genesis, subject, version = manifest.genesis, manifest.dataset, manifest.key_version
    try:
        verify_key(manifest.key_commitment, genesis=genesis, subject=subject, version=version, key=key)
    except WrongKey as error:
        raise WrongKey("these lists rebuild another key than this dataset's; see which dataset they name") from error
    secret = key.reveal()
    is_key = all(
        share_commitment(genesis, subject, version, index, secret) == commitment
        for index, commitment in enumerate(manifest.share_commitments)
    )
    return Sealed(manifest=manifest, key=key, shares=(secret,) * len(manifest.share_commitments) if is_key else ())
