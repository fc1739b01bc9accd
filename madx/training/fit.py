"""The one training loop, for both stages. Interrupted anywhere and run again, it ends in the same bits.

Nothing random lives in a generator: a batch, its masks and its dropout are functions of (seed, step), so a checkpoint
is parameters, optimizer and step.
"""

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from pydantic import Field
from torch import Tensor, nn

from madx.config import Frozen, RunError
from madx.device import one_ahead, peak_memory, seed_of
from madx.training.checkpoint import drop_checkpoint, load_checkpoint, save_checkpoint
from madx.training.schedule import learning_rate

LOG = "log.jsonl"
CHECKPOINT_SECONDS = float(os.environ.get("MADX_CHECKPOINT_SECONDS", "60"))
Watch = Callable[[int, int, dict[str, Any]], None]  # steps done, steps in all, numbers


class Schedule(Frozen):
    """AdamW with linear warm-up and decay."""

    steps: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    warm_up: float = Field(0.05, ge=0, lt=1)  # share of the steps
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)


class Micro(NamedTuple):
    """A part of a batch that is run at once: how many targets its loss sums over, and how many real tokens it has."""

    inputs: Any
    targets: int
    tokens: int


def fit(
    parameters: dict[str, nn.Parameter],
    schedule: Schedule,
    *,
    batch: Callable[[int], Sequence[Micro]],
    summed_loss: Callable[[Any], Tensor],
    folder: Path,
    seed: int,
    device: torch.device,
    evaluate: Callable[[], dict[str, float]] | None = None,
    evaluate_at: Sequence[int] = (),
    keep_best: str | None = None,
    watch: Watch = lambda done, total, numbers: None,
    trackers: Sequence[str] = (),
    chance: float | None = None,
) -> dict[str, Any]:
    """Train `parameters` in place. `batch(step)` gives the micro-batches of an update, `summed_loss` their loss.
    `batch` is called in a thread, an update ahead: it must leave the encoder alone.

    `evaluate` runs after the updates in `evaluate_at` (0: before the first); with `keep_best` the parameters of the
    evaluation with the highest such number are put back at the end. Raises RunError if the loss isn't finite.
    """
    names, values = list(parameters), list(parameters.values())
    accelerator = Accelerator(cpu=device.type == "cpu", log_with=list(trackers) or None, project_dir=folder)
    if trackers:
        accelerator.init_trackers("madx", config=schedule.model_dump())
    optimizer = torch.optim.AdamW(values, lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True)
    start, evaluations, best, first_losses = 0, [], None, []
    state = load_checkpoint(folder)
    if state is not None:
        for name, value in zip(names, values, strict=True):
            value.data.copy_(state["parameters"][name])
        optimizer.load_state_dict(state["optimizer"])
        start, evaluations, best, first_losses = state["step"], state["evaluations"], state["best"], state["losses"]

    def evaluated(step: int) -> None:
        nonlocal best
        if evaluate is None or step not in evaluate_at or any(e["step"] == step for e in evaluations):
            return
        numbers = evaluate()
        evaluations.append({"step": step, **numbers})
        _log(folder, {"step": step, **numbers}, accelerator)
        if keep_best and (best is None or numbers[keep_best] > best["value"]):
            copies = {name: value.detach().cpu().clone() for name, value in zip(names, values, strict=True)}
            best = {"value": numbers[keep_best], "step": step, "parameters": copies}

    evaluated(start)
    began = saved = time.perf_counter()
    seconds_before = state["seconds"] if state else 0.0
    tokens = state["tokens"] if state else 0
    since_log_tokens, since_log = 0, began
    zero_gradients = 0
    losses: list[float] = first_losses
    batches = one_ahead(partial(batch, step) for step in range(start, schedule.steps))
    for step, micros in enumerate(batches, start):
        torch.manual_seed(seed_of("dropout", seed, step))
        rate = learning_rate(step, schedule.steps, schedule.learning_rate, schedule.warm_up)
        for group in optimizer.param_groups:
            group["lr"] = rate
        targets = sum(micro.targets for micro in micros)
        parts = []
        for micro in micros:
            loss = summed_loss(micro.inputs) / targets
            accelerator.backward(loss)
            parts.append(loss.detach())
        parts.append(nn.utils.clip_grad_norm_(values, schedule.max_grad_norm))
        *parts_of_loss, norm = torch.stack(parts).tolist()  # a GPU is waited for once an update
        total = sum(parts_of_loss)
        if not math.isfinite(total):
            raise RunError(
                f"the loss became {total} at step {step + 1}; lower the learning rate (now {schedule.learning_rate}), "
                "or train in fp32"
            )
        zero_gradients += norm == 0.0
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(total)
        done = step + 1
        now_tokens = sum(micro.tokens for micro in micros)
        tokens += now_tokens
        since_log_tokens += now_tokens
        now = time.perf_counter()
        if done % 20 == 0 or done == schedule.steps:
            speed = since_log_tokens / max(now - since_log, 1e-9)
            since_log_tokens, since_log = 0, now
            record = {
                "step": done, "loss": total, "learning_rate": rate, "gradient_norm": norm,
                "tokens_per_s": round(speed), "memory_mb": peak_memory(device) >> 20,
            }  # fmt: skip
            _log(folder, record, accelerator)
            watch(done, schedule.steps, record)
        evaluated(done)
        if now - saved > CHECKPOINT_SECONDS and done < schedule.steps:
            saved = now
            save_checkpoint(
                folder,
                {
                    "parameters": {n: v.detach().cpu() for n, v in zip(names, values, strict=True)},
                    "optimizer": optimizer.state_dict(),
                    "step": done,
                    "evaluations": evaluations,
                    "best": best,
                    "losses": losses,
                    "seconds": seconds_before + now - began,
                    "tokens": tokens,
                },  # fmt: skip
            )
    if keep_best and best is not None:
        for name, value in zip(names, values, strict=True):
            value.data.copy_(best["parameters"][name])
    if trackers:
        accelerator.end_training()
    drop_checkpoint(folder)
    seconds = seconds_before + time.perf_counter() - began
    return {
        "steps": schedule.steps, "training_seconds": round(seconds, 2), "tokens": tokens,
        "tokens_per_s": round(tokens / max(seconds, 1e-9)), "peak_memory_mb": peak_memory(device) >> 20,
        "first_loss": _mean(losses[:20]), "last_loss": _mean(losses[-20:]), "evaluations": evaluations,
        "best_step": best["step"] if keep_best and best else None,
        "warnings": _warnings(losses, zero_gradients, chance),
    }  # fmt: skip


def _warnings(losses: list[float], zero_gradients: int, chance: float | None) -> list[str]:
    found = []
    if zero_gradients:
        found.append(
            f"{zero_gradients} of {len(losses)} updates had a gradient of exactly zero: nothing was learnt from them; "
            "check that the labels differ and that the adapter isn't left out everywhere"
        )
    if chance is not None and _mean(losses[-20:]) > 0.98 * chance:
        found.append(
            f"the training loss ended at {_mean(losses[-20:]):.3f}, no better than guessing ({chance:.3f}); "
            "try a higher learning rate, more epochs, or check the labels"
        )
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))


def _log(folder: Path, record: dict[str, Any], accelerator: Accelerator) -> None:
    with open(folder / LOG, "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    numbers = {k: v for k, v in record.items() if k != "step"}
    accelerator.log(numbers, step=record["step"])
