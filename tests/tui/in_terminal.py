"""The terminal over services in this process, as a program: what the test of a real terminal runs.

python -m tests.tui.in_terminal FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from cli import wiring
from tests.deployment import deployed
from tests.tui.party import desk_of, home_beside, proposed, with_credential
from tui.app import CofferApp


def main(folder: Path) -> None:
    """Run it over a DAO with an open proposal, a licensee's credential, and a folder of documents to seal."""
    tides = folder / "documents" / "tides"
    tides.mkdir(parents=True)
    (tides / "may.txt").write_text("In May the tide is high in the morning, and the harbor is open all day.")
    with deployed(folder) as deployment:
        wiring.clock = deployment.world.clock
        settings = home_beside(deployment, folder)
        with_credential(deployment, settings)
        proposed(deployment)
        CofferApp(
            lambda job: desk_of(deployment, settings),
            clock=deployment.world.clock,
            browse_from=str(tides.parent),
        ).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
