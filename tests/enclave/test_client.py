"""What an AI app embeds stays light."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_client_loads_neither_models_nor_sql_nor_wallets() -> None:
    heavy = ("torch", "faiss", "numpy", "sqlmodel", "sqlalchemy", "coincurve", "eth_account", "sha3", "shamir_mnemonic")
    program = f"import enclave.client, sys; print([name for name in {heavy!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)  # noqa: S603
    assert loaded.stdout.strip() == "[]"
