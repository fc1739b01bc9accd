"""A task's model for where there is no Python: export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from madx.cli.options import Debug, Json
from madx.cli.predict import Adapter, Method, Origin, Seed, Task
from madx.config import InputError


def export(
    origin: Origin,
    to: Annotated[Path, typer.Option("--to", help="A new folder: model.onnx, the tokenizer, model.json.")],
    language: Annotated[str | None, typer.Option("--language", help="Whose adapter goes into it.")] = None,
    task: Task = None,
    method: Method = None,
    seed: Seed = None,
    adapter: Adapter = None,
    format_: Annotated[str, typer.Option("--format", help="onnx.")] = "onnx",
    int8: Annotated[
        bool, typer.Option("--int8", help="Weights in 8 bits: a quarter of the size, not the same.")
    ] = False,
    drop: Annotated[int, typer.Option(min=0, help="Lowest layers that go without the task's adapter.")] = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """One file that computes a task for a language with onnxruntime and the tokenizer alone, checked against torch."""
    from madx.prediction.models import adapter_options
    from madx.prediction.onnx import export_onnx
    from madx.prediction.predictor import Predictor

    if format_ != "onnx":
        raise InputError(f"--format {format_}: there is onnx")
    predictor = Predictor(
        origin, task, method=method, seed=seed, adapters=adapter_options(adapter or []), device="cpu"
    )  # fmt: skip
    made = export_onnx(predictor, language, to, int8=int8, drop=drop)
    if as_json:
        print(json.dumps({**made._asdict(), "folder": str(made.folder)}, indent=1))
        return
    print(f"{made.folder}: {made.bytes / 1e6:.1f} MB, logits within {made.difference:.1g} of torch's")
