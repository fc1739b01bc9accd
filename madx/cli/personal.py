"""A person's own adapter on top of a run or a task adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from madx.cli.options import Debug, Device, Json
from madx.cli.predict import Adapter, Method, Origin, Seed, Task
from madx.config import InputError


def personal(
    origin: Origin,
    labels: Annotated[Path, typer.Option("--labels", help="Some tens of examples, as the task's own are written.")],
    to: Annotated[Path, typer.Option("--to", help="A new folder, for predict and serve.")],
    language: Annotated[str | None, typer.Option("--language", help="Of the examples.")] = None,
    task: Task = None,
    method: Method = None,
    seed: Seed = None,
    adapter: Adapter = None,
    epochs: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    learning_rate: Annotated[float, typer.Option(min=1e-9, max=1.0)] = 1e-3,
    reduction_factor: Annotated[
        float, typer.Option(min=1.0, help="Of the encoder's width, to the adapter's inner one.")
    ] = 16.0,
    device: Device = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a small adapter of your own on tens of examples, on top of a finished model that stays as it is."""
    from madx.prediction.models import adapter_options
    from madx.prediction.personal import train_personal
    from madx.prediction.predictor import Predictor

    if not labels.is_file():
        raise InputError(f"--labels {labels}: no such file")
    predictor = Predictor(
        origin, task, method=method, seed=seed, adapters=adapter_options(adapter or []), device=device
    )  # fmt: skip
    made = train_personal(
        predictor, origin, labels, language, to,
        epochs=epochs, learning_rate=learning_rate, reduction_factor=reduction_factor,
    )  # fmt: skip
    if as_json:
        print(made.model_dump_json(indent=1))
        return
    score = f"{predictor.chosen.task.metric} on these {made.score_before:.1f} before, {made.score_after:.1f} after"
    print(f"{to}: {made.examples} examples of {made.task}; {score}; on text of yours it may do less well")
