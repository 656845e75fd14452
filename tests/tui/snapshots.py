"""Pictures of screens, compared with the kept ones. `COFFER_TEST_PICTURES=write` keeps new ones instead.

What differs from run to run, hashes, keys, ports and milliseconds, is replaced before: each hash by another of its
length that depends only on where it first appears, so that pictures look as the screens do and hold nothing real.
"""

from __future__ import annotations

import os
import re
from difflib import unified_diff
from hashlib import shake_256
from pathlib import Path
from typing import Any, Final

from textual.pilot import Pilot

KEPT: Final = Path(__file__).parents[2] / "docs" / "screens"
BASE32: Final = "abcdefghijklmnopqrstuvwxyz234567"
HEX: Final = "0123456789abcdef"
HASHES: Final = re.compile(r"baf[ky][a-z2-7]{4,}|(?<![0-9a-z&#])(?:0x)?[0-9a-f]{8,}(?![0-9a-z])")
TAILS: Final = re.compile(r"(?<=…)[0-9a-z]{4,6}(?![0-9a-z])")
TEXTS: Final = re.compile(r'<text [^>]*?x="(?P<x>[0-9.]+)" y="(?P<y>[0-9.]+)"[^>]*>.*?</text>')
PORTS: Final = re.compile(r"127\.0\.0\.1:[0-9]{5}")
MILLISECONDS: Final = re.compile(r"(?:&#160;| )*[0-9]+\.[0-9](?=&#160;ms)")


def svg_of(pilot: Pilot[Any], title: str) -> str:
    """Return the screen as a picture without what differs from run to run."""
    return _steady(pilot.app.export_screenshot(title=title))


def compare(pilot: Pilot[Any], name: str) -> None:
    """Compare the screen with the kept picture of that name, or keep it where the tests were asked to."""
    width, height = pilot.app.size
    path = KEPT / f"{name}-{width}x{height}.svg"
    picture = svg_of(pilot, "Coffer")
    if os.environ.get("COFFER_TEST_PICTURES") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{picture.rstrip()}\n")
    assert path.exists(), f"there is no picture {path.name}; keep one with COFFER_TEST_PICTURES=write"
    kept = path.read_text().rstrip()
    changed = "\n".join(unified_diff(_words(kept), _words(picture), "kept", "now", lineterm="", n=0))
    assert not changed, f"{path.name} shows something else now; look, then keep it\n{changed}"
    assert picture.rstrip() == kept, f"{path.name} looks different now; look, then keep it"


def _words(svg: str) -> list[str]:
    """Return the lines of a picture as text, for a difference that can be read."""
    lines: dict[str, list[str]] = {}
    for y, words in re.findall(r'<text [^>]*?y="([0-9.]+)"[^>]*>(.*?)</text>', svg):
        lines.setdefault(y, []).append(words.replace("&#160;", " "))
    return ["".join(parts) for parts in lines.values()]


def _steady(svg: str) -> str:
    unique = re.search(r"terminal-[0-9]+", svg)
    head, sep, body = (svg.replace(unique[0], "terminal-0") if unique else svg).partition("<g transform")
    seen: dict[str, str] = {}

    def other(found: re.Match[str], place: str) -> str:
        text = found[0]
        if text not in seen:
            keep = next(
                (prefix for prefix in ("0x", "bafyrei", "bafkrei", "bafy", "bafk") if text.startswith(prefix)), ""
            )
            letters = BASE32 if keep.startswith("baf") else HEX
            noise = shake_256(f"hash at {place}".encode()).digest(len(text))
            seen[text] = keep + "".join(letters[byte % len(letters)] for byte in noise)[len(keep) :]
        return seen[text]

    def steadied(words: re.Match[str]) -> str:
        whole = words[0]
        for number, pattern in enumerate((HASHES, TAILS)):
            place = f"{words['x']} {words['y']} {number}"
            whole = pattern.sub(lambda found, place=place: other(found, f"{place} {found.start()}"), whole)  # type: ignore[misc]
        return whole

    body = TEXTS.sub(steadied, body)
    body = PORTS.sub("127.0.0.1:72000"[:15], body)
    body = MILLISECONDS.sub("&#160;" * 4 + "0.4", body)
    return head + sep + body
