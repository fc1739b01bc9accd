"""The one training loop, for both stages. Interrupted anywhere and run again, it ends in the same bits.

Nothing random lives in a generator: a batch, its masks and its dropout are functions of (seed, step), so a checkpoint
is parameters, optimizer and state.
"""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from madx.config import Frozen, RunError
from madx.device import one_ahead, peak_memory
from madx.training.checkpoint import drop_checkpoint, load_checkpoint, save_checkpoint
from madx.training.group import Group
from madx.training.interrupt import waiting_interrupt
from madx.training.log import Log
from madx.training.schedule import learning_rate

CHECKPOINT_SECONDS = float(os.environ.get("MADX_CHECKPOINT_SECONDS", "60"))
LOG_EVERY = 20  # updates
Watch = Callable[[int, int, dict[str, Any]], None]  # steps done, steps in all, numbers


class Schedule(Frozen):
    """AdamW with linear warm-up and decay."""

    steps: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    warm_up: float = Field(0.05, ge=0, lt=1)  # share of the steps
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)


class Part(NamedTuple):
    """A part of an update's batch that is run at once."""

    loss: Callable[[], Tensor]  # summed over its targets
    targets: int
    tokens: int  # real ones


@dataclass(frozen=True)
class Validation:
    """Numbers after the updates in `at` (0: before the first); the parameters with the highest `keep_best` are kept."""

    evaluate: Callable[[], dict[str, float]]
    at: Sequence[int]
    keep_best: str | None = None


@dataclass(frozen=True)
class Run:
    """Where and how a training runs. Nothing here changes what comes out, but the seed."""

    folder: Path
    seed: int
    device: torch.device
    trackers: Sequence[str] = ()
    watch: Watch = lambda done, total, numbers: None
    group: Group = Group()


@dataclass
class State:
    """What training has come to, beside parameters and optimizer; it is checkpointed whole."""

    step: int = 0  # updates done
    losses: list[float] = field(default_factory=list)
    evaluations: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Any] | None = None  # value, step and parameters of the best evaluation
    summed: dict[str, Tensor] = field(default_factory=dict)  # parameters, in float64, over `averaged` updates
    averaged: int = 0
    zero_gradients: int = 0
    paused_at: int | None = None  # the updates after which it last did
    tokens: int = 0
    seconds: float = 0.0


def fit(
    parameters: Mapping[str, nn.Parameter],
    schedule: Schedule,
    batch: Callable[[int], Sequence[Part]],
    run: Run,
    validation: Validation | None = None,
    penalty: Callable[[], Tensor | None] = lambda: None,
    chance: float | None = None,
    before: Callable[[int], None] = lambda done: None,
    average_at: Sequence[int] = (),
    until: int | None = None,
) -> dict[str, Any]:
    """Train `parameters` in place; what is reported of it.

    `batch(step)` gives the parts of an update; it is called in a thread, an update ahead, and must leave the encoder
    alone. `penalty` is added to every update's mean loss. `chance`: the loss of guessing. `before` is told before each
    update how many are done. `average_at`: the updates after which parameters are what they were, on average, at the
    end. `until`: it pauses after so many updates, and its checkpoint stays; who goes on from there gives the parameters
    anew. Raises RunError where the loss or its gradient isn't finite.
    """
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True
    )
    state, warnings = _resume(run, parameters, optimizer, until)
    log = Log(run.folder, state.step, run.trackers, schedule.model_dump())
    began = saved = since_log = time.perf_counter()
    seconds_before, since_log_tokens = state.seconds, state.tokens
    if state.step:
        run.watch(state.step, schedule.steps, {"resumed": True})
    _validate(state, parameters, validation, log)
    stop = False
    end = schedule.steps if until is None else until
    batches = one_ahead(partial(batch, step) for step in range(state.step, end))
    with waiting_interrupt() as interrupt:
        for parts in batches:
            torch.manual_seed(run.group.seed("dropout", run.seed, state.step))
            before(state.step)
            rate = learning_rate(state.step, schedule.steps, schedule.learning_rate, schedule.warm_up)
            loss, norm = _update(parts, optimizer, rate, schedule, penalty, state.step, run.group)
            stop = run.group.any(bool(interrupt))
            state.step += 1
            state.losses.append(loss)
            state.zero_gradients += norm == 0.0
            state.tokens += sum(part.tokens for part in parts)
            now = time.perf_counter()
            state.seconds = seconds_before + now - began
            if state.step % LOG_EVERY == 0 or state.step == schedule.steps:
                speed = (state.tokens - since_log_tokens) / max(now - since_log, 1e-9)
                since_log_tokens, since_log = state.tokens, now
                record = {
                    "step": state.step, "loss": loss, "learning_rate": rate, "gradient_norm": norm,
                    "tokens_per_s": round(speed), "memory_mb": peak_memory(run.device) >> 20,
                }  # fmt: skip
                log.write(record)
                run.watch(state.step, schedule.steps, record)
            _validate(state, parameters, validation, log)
            if state.step in average_at:
                _add(state, parameters)
            if (stop or now - saved > CHECKPOINT_SECONDS) and state.step < end and run.group.rank == 0:
                saved = now
                _save(run.folder, state, parameters, optimizer)
            if stop:
                break
    if state.step == until and state.paused_at != until and run.group.rank == 0:
        state.paused_at = until
        _save(run.folder, state, parameters, optimizer)
    if stop and state.step < schedule.steps:  # who was asked to stop does so, whatever handles the signal
        raise RunError(f"stopped at step {state.step:,} of {schedule.steps:,}; run it again to go on from there")
    if until is None:
        _choose(state, parameters, validation, log)
        drop_checkpoint(run.folder)
    log.close()
    return _report(state, run.device, warnings, chance)


def _choose(state: State, parameters: Mapping[str, nn.Parameter], validation: Validation | None, log: Log) -> None:
    """What is kept: the average, where there is one, else the best, else the last."""
    if state.averaged:
        put(parameters, {name: total / state.averaged for name, total in state.summed.items()})
        if validation is not None:
            _evaluate(state, validation, log)
    elif state.best is not None:
        put(parameters, state.best["parameters"])


def first_gradients(parameters: Mapping[str, nn.Parameter], parts: Sequence[Part]) -> dict[str, Tensor]:
    """Gradients of a batch's mean loss, by name; zero where there is none. The parameters keep none."""
    targets = sum(part.targets for part in parts)
    for part in parts:
        (part.loss() / targets).backward()  # type: ignore[no-untyped-call]
    found = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in parameters.items()}
    for parameter in parameters.values():
        parameter.grad = None
    return found


def _update(
    parts: Sequence[Part],
    optimizer: torch.optim.Optimizer,
    rate: float,
    schedule: Schedule,
    penalty: Callable[[], Tensor | None],
    step: int,
    processes: Group,
) -> tuple[float, float]:
    """One step of the optimizer; the batch's mean loss and its gradient's norm."""
    targets = sum(part.targets for part in parts)
    numbers = []
    for part in processes.share(parts):
        loss = part.loss() / targets
        loss.backward()  # type: ignore[no-untyped-call]
        numbers.append(loss.detach())
    own = penalty() if processes.rank == 0 else None
    if own is not None:
        own.backward()  # type: ignore[no-untyped-call]
        numbers.append(own.detach())
    (group,) = optimizer.param_groups
    group["lr"] = rate
    numbers = processes.sum(group["params"], numbers)
    numbers.append(nn.utils.clip_grad_norm_(group["params"], schedule.max_grad_norm))
    *losses, norm = torch.stack(numbers).tolist()  # a GPU is waited for once an update
    total = sum(losses)
    if not (math.isfinite(total) and math.isfinite(norm)):
        what = f"the loss became {total}" if not math.isfinite(total) else f"the gradient's norm became {norm}"
        raise RunError(
            f"{what} at step {step + 1}; lower the learning rate (now {schedule.learning_rate}), or train in fp32"
        )
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total, norm


def _validate(state: State, parameters: Mapping[str, nn.Parameter], validation: Validation | None, log: Log) -> None:
    if validation is None or state.step not in validation.at or any(e["step"] == state.step for e in state.evaluations):
        return
    numbers = _evaluate(state, validation, log)
    key = validation.keep_best
    if key and (state.best is None or numbers[key] > state.best["value"]):
        state.best = {"value": numbers[key], "step": state.step, "parameters": _copies(parameters)}


def _evaluate(state: State, validation: Validation, log: Log) -> dict[str, float]:
    numbers = validation.evaluate()
    state.evaluations.append({"step": state.step, **numbers})
    log.write({"step": state.step, **numbers})
    return numbers


def _add(state: State, parameters: Mapping[str, nn.Parameter]) -> None:
    state.averaged += 1
    for name, value in parameters.items():
        now = value.detach().double().cpu()
        state.summed[name] = state.summed[name] + now if name in state.summed else now


def _copies(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in parameters.items()}


def put(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    for name, parameter in parameters.items():
        parameter.data.copy_(values[name])


def _save(folder: Path, state: State, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    values = {name: value.detach() for name, value in parameters.items()}
    save_checkpoint(folder, {"parameters": values, "optimizer": optimizer.state_dict(), "state": vars(state)})


def _resume(
    run: Run, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, until: int | None
) -> tuple[State, list[str]]:
    """What the folder's checkpoint says, put into place; and warnings."""
    saved, warnings = run.group.same(load_checkpoint(run.folder))
    if saved is None:
        return State(), warnings
    state = State(**saved["state"])
    if state.paused_at != state.step or state.step == until:
        put(parameters, saved["parameters"])
    optimizer.load_state_dict(saved["optimizer"])
    return state, warnings


def _report(state: State, device: torch.device, warnings: list[str], chance: float | None) -> dict[str, Any]:
    first, last = _mean(state.losses[:20]), _mean(state.losses[-20:])
    if state.zero_gradients:
        warnings.append(
            f"{state.zero_gradients} of {state.step} updates had a gradient of exactly zero: nothing was learnt from "
            "them; check that the labels differ and that the adapter isn't left out everywhere"
        )
    if chance is not None and last > 0.98 * chance:
        warnings.append(
            f"the training loss ended at {last:.3f}, no better than guessing ({chance:.3f}); "
            "try a higher learning rate, more epochs, or check the labels"
        )
    return {
        "steps": state.step, "training_seconds": round(state.seconds, 2), "tokens": state.tokens,
        "tokens_per_s": round(state.tokens / max(state.seconds, 1e-9)), "peak_memory_mb": peak_memory(device) >> 20,
        "first_loss": first, "last_loss": last, "evaluations": state.evaluations,
        "best_step": state.best["step"] if state.best else None, "warnings": warnings,
    }  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))
