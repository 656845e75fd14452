"""`coffer dao`: decide together who may ask, at what price, on which machines."""

from __future__ import annotations

import typer

from cli import (
    dao_delegate,
    dao_diff,
    dao_guardians,
    dao_init,
    dao_log,
    dao_propose,
    dao_queue,
    dao_sync,
    dao_verify,
    dao_voting,
    dao_web,
)

app = typer.Typer(help="Decide together who may ask, at what price, on which machines.")
app.command("init")(dao_init.init)
app.command("propose")(dao_propose.propose)
app.command("diff")(dao_diff.diff)
app.command("vote")(dao_voting.vote)
app.command("ballot")(dao_voting.ballot)
app.command("tally")(dao_voting.tally)
app.command("queue")(dao_queue.queue)
app.command("execute")(dao_queue.execute)
app.command("cancel")(dao_guardians.cancel)
app.command("revoke")(dao_guardians.revoke)
app.command("delegate")(dao_delegate.delegate)
app.command("delegations")(dao_delegate.delegations)
app.command("show")(dao_log.show)
app.command("list")(dao_log.list_)
app.command("log")(dao_log.log)
app.command("verify")(dao_verify.verify)
app.command("export")(dao_verify.export)
app.command("sync")(dao_sync.sync)
app.command("serve")(dao_web.serve)
