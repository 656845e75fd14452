"""What browsers are given that others wrote: exactly the files that were read, and nothing else."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

STATIC = Path(__file__).parents[2] / "cli" / "voting_page" / "static"
PINNED = {
    "LICENSE-ed25519": "394c2e6e5552e5dba202bee6390b9d6aa2754d657f5b9869e83b3d265a315501",
    "LICENSE-hashes": "4f221aee6e072336700c408c68ab3b96a3fc09f6aebe6f48f1bd99e5ef13faec",
    "LICENSE-secp256k1": "394c2e6e5552e5dba202bee6390b9d6aa2754d657f5b9869e83b3d265a315501",
    "_u64.js": "b09da8c07fe8187c07649494cdb7cd0bcf13df90b506a9473d19e4d5f8c2e102",
    "ed25519.js": "a4f631d1876b5d9e43a86cd71194ca27b5e1451edf4ba4db9a418f40a475569a",
    "secp256k1.js": "ba5aadb469e9208f2da1c9878ab6bb93d2c894f84e6c7ebf9dbf9462741b9fb7",
    "sha3.js": "9a81e1edb24eae27b335533220167609cfb58008c5690e140ce478acdc669f32",
    "utils.js": "037ad49adb78168b6b699598fd33f85f7877456b1d28b4d032e2a1a16807947c",
}  # of @noble/secp256k1 3.2.0, @noble/ed25519 3.2.0 and @noble/hashes 2.4.0, as npm has them; decision 065


def test_the_files_of_others_are_those_that_were_pinned() -> None:
    assert {path.name: sha256(path.read_bytes()).hexdigest() for path in (STATIC / "noble").iterdir()} == PINNED


def test_scripts_import_nothing_but_their_neighbors() -> None:
    """No import map, no bare name that a browser could not resolve, nothing from elsewhere."""
    for script in STATIC.rglob("*.js"):
        content = re.sub(r"(?s)/\*.*?\*/", "", script.read_text(encoding="utf-8"))
        for place in re.findall(r"""(?m)^\s*(?:import|export)\b[^;]*?\bfrom\s+["']([^"']+)["']""", content):
            assert place.startswith("./"), f"{script.name}: {place}"
            assert (script.parent / place).is_file(), f"{script.name}: {place}"
        assert "import(" not in content
