"""How a plan is shown: what is predicted and what was measured, side by side and never mixed."""

from __future__ import annotations

from typing import Any

from cli.console import foreign, say
from cli.index_trial import Trial
from cli.tables import show_table
from rag.index_costs import Prediction, bytes_text, ms_text
from rag.index_plan import PPM, IndexPlan, MeasuredRecall
from rag.plan import Choice, Wanted

PARAMETERS = ("nlist", "nprobe", "m", "ef_construction", "ef_search", "oversampling")


def report_json(wanted: Wanted, choice: Choice, taken: Prediction, trial: Trial | None) -> dict[str, Any]:
    """Return the report for programs: recalls in millionths, sizes in bytes, times in microseconds."""
    return {
        "plan": (taken.plan if trial is None else trial.plan).record(),
        "why": _why(choice, taken),
        "predicted": _prediction_json(taken),
        "measured": None if trial is None else _trial_json(trial, wanted),
        "wanted": {
            "memory_bytes": wanted.memory_bytes,
            "recall_ppm": wanted.recall_ppm,
            "k": wanted.k,
            "latency_us": wanted.latency_us,
        },
        "considered": [
            {
                "kind": str(option.kind),
                "against": option.against,
                "predicted": None if option.prediction is None else _prediction_json(option.prediction),
            }
            for option in choice.options
        ],
    }


def show_report(wanted: Wanted, choice: Choice, taken: Prediction, trial: Trial | None) -> None:
    """Print the report for people."""
    plan = taken.plan
    say(f"[bold]{plan.kind}[/] on the {plan.device} for {plan.count} vectors: {foreign(_why(choice, taken))}")
    say("")
    lines = [
        ("parameters", _parameters(plan), "" if trial is None else _parameters(trial.plan)),
        (
            "memory",
            _memory(taken),
            "" if trial is None else f"{bytes_text(trial.structure_bytes)} beside exact vectors",
        ),
        ("one query", _time(taken), "" if trial is None else f"{ms_text(trial.query_us)}, median, this machine"),
        (f"recall@{wanted.k}", f"{_percent(wanted.recall_ppm)} wanted", "" if trial is None else _recall(trial)),
        ("building", "", "" if trial is None else f"{trial.build_s:.1f} s"),
    ]
    if trial is None:
        show_table(("", "predicted"), [line[:2] for line in lines if line[1]])
        say("[dim]nothing was measured; --vectors or --texts builds the index and measures it[/]")
    else:
        show_table(("", "predicted", "measured"), lines)
        _say_recall(wanted, trial)
    say("")
    rows = [(str(option.kind), *_cells(option.prediction), option.against or "-") for option in choice.options]
    show_table(("considered", "memory, predicted", "one query, predicted", "against it"), rows)


def _say_recall(wanted: Wanted, trial: Trial) -> None:
    if trial.recall is None:
        return
    say(f"[dim]{_sample(trial.recall)}; other questions may fare better or worse[/]")
    if trial.recall_ppm < wanted.recall_ppm:
        say(f"[bold red]NOT REACHED[/] {_percent(wanted.recall_ppm)}; take exact search, or another kind with --kind")


def _why(choice: Choice, taken: Prediction) -> str:
    if taken.plan.kind is choice.prediction.plan.kind:
        return choice.why
    return f"asked for; {choice.prediction.plan.kind} would be chosen: {choice.why}"


def _prediction_json(prediction: Prediction) -> dict[str, Any]:
    return {
        "memory_bytes": prediction.memory_bytes,
        "host_bytes": prediction.host_bytes,
        "latency_us": prediction.latency_us,
        "latency_class": prediction.latency_class,
    }


def _trial_json(trial: Trial, wanted: Wanted) -> dict[str, Any]:
    recall = trial.recall
    return {
        "recall": None if recall is None else recall.record() | {"recall_ppm": recall.recall_ppm},
        "reached": trial.recall_ppm >= wanted.recall_ppm,
        "structure_bytes": trial.structure_bytes,
        "build_ms": round(1000 * trial.build_s),
        "query_us": trial.query_us,
    }


def _parameters(plan: IndexPlan) -> str:
    record = plan.record()
    return ", ".join(f"{name} {record[name]}" for name in PARAMETERS if record[name]) or "none"


def _memory(prediction: Prediction) -> str:
    beside = f", and {bytes_text(prediction.host_bytes)} beside the GPU" if prediction.host_bytes else ""
    return bytes_text(prediction.memory_bytes) + beside


def _time(prediction: Prediction) -> str:
    return f"{prediction.latency_class} (about {ms_text(prediction.latency_us)})"


def _recall(trial: Trial) -> str:
    if trial.recall is None:
        return "100%, by construction"
    return f"{_percent(trial.recall_ppm)} (at least {_percent(trial.recall.lower_ppm)} with 95% confidence)"


def _sample(recall: MeasuredRecall) -> str:
    return f"recall on {recall.queries} queries that had no part in choosing the parameters: {foreign(recall.source)}"


def _cells(prediction: Prediction | None) -> tuple[str, str]:
    return ("-", "-") if prediction is None else (bytes_text(prediction.memory_bytes), prediction.latency_class)


def _percent(ppm: int) -> str:
    """Return millionths as a percentage, rounded down, so that 100% means all."""
    hundredths = ppm * 10_000 // PPM
    return f"{hundredths // 100}.{hundredths % 100:02d}".rstrip("0").rstrip(".") + "%"
