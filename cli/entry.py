"""The `coffer` command: says what to install where the light client alone is here, otherwise runs `cli.main`."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

NEEDED = ("typer", "rich", "pydantic_settings", "eth_account", "coincurve")


def main() -> None:
    """Run the command line."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"coffer: this install is the light client alone (missing {', '.join(missing)}); "
            "install the command line with: pip install 'coffer[owner,server,cpu]'\n"
        )
        raise SystemExit(2)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what fails is said in one sentence of ours
    if sys.argv[1:2] == ["tui"]:
        from cli.terminal import run
    else:
        from cli.main import run
    run()


if __name__ == "__main__":
    main()
