"""From a sealed dataset to an answer with a receipt, over gRPC and TLS."""

from __future__ import annotations

from pathlib import Path

from tests.deployment import deployed
from tests.enclaves import APPRAISER
from vault.receipt_check import verify_receipt_file


def test_a_licensed_question_is_answered_charged_and_receipted(tmp_path: Path) -> None:
    with deployed(tmp_path) as deployment:
        assert deployment.add_credit(1_000) == 1_000
        with deployment.client() as client:
            answer = client.search("tide table", k=2)
            account = client.account()
        assert answer.results[0].passage.text == "The tide table for May."
        assert len(answer.results) == 2
        assert (account.credit, account.spent, account.passages_seen) == (900, 100, 2)
        links = list(
            verify_receipt_file(
                answer.file, genesis=deployment.world.genesis, appraiser=APPRAISER, allow_simulated=True
            )
        )
        assert len(links) == 9
