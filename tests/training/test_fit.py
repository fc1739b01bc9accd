"""The loop: it learns, it resumes in the same bits, it says what went wrong."""

import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from madx.config import RunError
from madx.training import fit as module
from madx.training.fit import Part, Run, Schedule, Validation, fit
from madx.training.schedule import learning_rate

CPU = torch.device("cpu")
STEADY = Validation(lambda: {"dev": 1.0}, at=(0, 10, 40))


def problem() -> tuple[torch.nn.Linear, Any]:
    """A noisy regression with dropout: any difference in random numbers shows."""
    torch.manual_seed(3)
    model = torch.nn.Linear(4, 1)

    def loss(x: torch.Tensor) -> torch.Tensor:
        y = torch.nn.functional.dropout(model(x), 0.3).squeeze(1)
        return (y - x.sum(1)).square().sum()

    def batch(step: int) -> list[Part]:
        x = torch.randn(6, 4, generator=torch.Generator().manual_seed(step))
        return [Part(partial(loss, x[:4]), 4, 4), Part(partial(loss, x[4:]), 2, 2)]

    return model, batch


def run(folder: Path, stop_at: int | None = None, stop: Any = None, **more: Any) -> tuple[dict[str, Any], Any]:
    """Parameters and report of 40 updates; at `stop_at`, `stop` is called or the run is interrupted."""
    model, batch = problem()

    def stopping(step: int) -> list[Part]:
        if step == stop_at:
            if stop is None:
                raise KeyboardInterrupt
            stop()
        return batch(step)

    folder.mkdir(exist_ok=True)
    parameters = dict(model.named_parameters())
    result = fit(parameters, Schedule(steps=40, learning_rate=0.05), stopping, Run(folder, 1, CPU), **more)
    return {k: v.detach().clone() for k, v in model.named_parameters()}, result


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint*"))


@pytest.mark.parametrize("stop_at", [2, 17, 39])
def test_an_interrupted_run_ends_in_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    whole, wanted = run(tmp_path / "whole", validation=STEADY)
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", stop_at, validation=STEADY)
    assert len(checkpoints(tmp_path / "cut")) == 1
    resumed, result = run(tmp_path / "cut", validation=STEADY)
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)
    assert result["evaluations"] == wanted["evaluations"]
    assert (result["first_loss"], result["last_loss"]) == (wanted["first_loss"], wanted["last_loss"])
    assert not checkpoints(tmp_path / "cut")


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_leaves_a_checkpoint_of_the_last_update(
    tmp_path: Path, number: signal.Signals, raised: type[BaseException]
) -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(SystemExit(143)))
    try:
        whole, _ = run(tmp_path / "whole")
        with pytest.raises(raised):
            run(tmp_path / "cut", 20, lambda: os.kill(os.getpid(), number))
        (path,) = checkpoints(tmp_path / "cut")
        assert 15 < torch.load(path, weights_only=True)["state"]["step"] < 25
        resumed, _ = run(tmp_path / "cut")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_half_a_training_is_never_taken_for_whole_by_who_ignores_signals(
    tmp_path: Path, number: signal.Signals
) -> None:
    before = signal.signal(number, lambda *_: None)
    try:
        with pytest.raises(RunError, match="stopped at step .* of 40"):
            run(tmp_path / "cut", 20, lambda: os.kill(os.getpid(), number))
    finally:
        signal.signal(number, before)
    assert len(checkpoints(tmp_path / "cut")) == 1
    whole, _ = run(tmp_path / "whole")
    resumed, _ = run(tmp_path / "cut")
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped"])
def test_a_damaged_checkpoint_is_named_and_not_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    whole, _ = run(tmp_path / "whole")
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", 17)
    (path,) = checkpoints(tmp_path / "cut")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"cut": bytes(content[:100]), "empty": b"", "flipped": bytes(content)}[damage])
    resumed, result = run(tmp_path / "cut")
    assert [w for w in result["warnings"] if path.name in w and "damaged" in w]
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)


def test_a_resumed_log_repeats_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "whole")
    wanted = [json.loads(line)["step"] for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    monkeypatch.setattr(module, "LOG_EVERY", 5)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", 17, validation=Validation(lambda: {"dev": 1.0}, at=(0,)))  # no checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(module, "CHECKPOINT_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", 33, validation=Validation(lambda: {"dev": 1.0}, at=(0,)))
    run(tmp_path / "cut", validation=Validation(lambda: {"dev": 1.0}, at=(0,)))
    steps = [json.loads(line)["step"] for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    assert steps == [0, *range(5, 45, 5)]
    assert wanted == [20, 40]


def test_the_best_evaluation_is_put_back(tmp_path: Path) -> None:
    values = iter([1.0, 5.0, 2.0])
    model, batch = problem()
    seen = []

    def evaluate() -> dict[str, float]:
        seen.append(model.weight.detach().clone())
        return {"dev": next(values)}

    result = fit(
        dict(model.named_parameters()), Schedule(steps=30, learning_rate=0.05), batch, Run(tmp_path, 1, CPU),
        Validation(evaluate, at=(10, 20, 30), keep_best="dev"),
    )  # fmt: skip
    assert result["best_step"] == 20
    assert torch.equal(model.weight, seen[1])


def test_parts_add_up_to_the_batch(tmp_path: Path) -> None:
    results = []
    for sizes in ((6,), (1, 3, 2)):
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 1)

        def loss(x: torch.Tensor, model: torch.nn.Linear = model) -> torch.Tensor:
            return (model(x).squeeze(1) - x.sum(1)).square().sum()

        def batch(step: int, sizes: tuple[int, ...] = sizes, loss: Any = loss) -> list[Part]:
            x = torch.randn(6, 4, generator=torch.Generator().manual_seed(step))
            return [Part(partial(loss, part), len(part), len(part)) for part in x.split(list(sizes))]

        folder = tmp_path / str(len(sizes))
        folder.mkdir()
        fit(dict(model.named_parameters()), Schedule(steps=5, learning_rate=0.05), batch, Run(folder, 1, CPU))
        results.append(model.weight.detach())
    assert torch.allclose(results[0], results[1], atol=1e-6)


def fit_constant(folder: Path, loss: Any, **more: Any) -> dict[str, Any]:
    weight = torch.nn.Parameter(torch.ones(1))
    return fit(
        {"weight": weight}, Schedule(steps=25, learning_rate=1e-6), lambda step: [Part(partial(loss, weight), 1, 1)],
        Run(folder, 1, CPU), **more,
    )  # fmt: skip


def test_a_penalty_is_part_of_every_updates_loss(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.tensor([3.0]))
    result = fit(
        {"weight": weight}, Schedule(steps=25, learning_rate=1e-2), lambda step: [Part(lambda: weight.sum() * 0, 1, 1)],
        Run(tmp_path, 1, CPU), penalty=lambda: weight.square().sum(),
    )  # fmt: skip
    assert result["first_loss"] > result["last_loss"] > 0
    assert weight.item() < 3.0


def test_a_loss_that_is_not_finite_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="lower the learning rate"):
        fit_constant(tmp_path, lambda w: (w * float("inf")).sum())


def test_a_gradient_that_is_not_finite_never_reaches_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finite loss with a gradient of NaN: sqrt at zero."""
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(RunError, match="gradient's norm became nan at step 1; lower the learning rate"):
        fit_constant(tmp_path, lambda w: ((w - w.detach()) * 0).sqrt().sum() + 1.0)
    assert not checkpoints(tmp_path)


def test_zero_gradients_and_chance_are_reported_also_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)
    calls = []

    def loss(w: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 12:
            raise KeyboardInterrupt
        return (w * 0.0).sum() + 1.0

    with pytest.raises(KeyboardInterrupt):
        fit_constant(tmp_path, loss, chance=1.0)
    result = fit_constant(tmp_path, loss, chance=1.0)
    assert any("25 of 25 updates had a gradient of exactly zero" in w for w in result["warnings"])
    assert any("no better than guessing" in w for w in result["warnings"])


def test_the_log_is_json_lines(tmp_path: Path) -> None:
    run(tmp_path / "a")
    rows = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [20, 40]
    assert {"loss", "learning_rate", "tokens_per_s", "memory_mb", "gradient_norm"} <= set(rows[0])


def test_schedule_rises_and_falls() -> None:
    rates = [learning_rate(i, 100, 1.0, 0.1) for i in range(100)]
    assert rates[0] == 0.1
    assert max(rates) == rates[9] == 1.0
    assert rates[-1] == pytest.approx(1 / 90)
    assert rates[9:] == sorted(rates[9:], reverse=True)
