"""The loop: it learns, it resumes in the same bits, it says what went wrong."""

from pathlib import Path
from typing import Any

import pytest
import torch

from madx.config import RunError
from madx.training import fit as module
from madx.training.fit import Micro, Schedule, fit
from madx.training.schedule import learning_rate

CPU = torch.device("cpu")


def problem() -> tuple[torch.nn.Linear, Any, Any]:
    """A noisy regression with dropout: any difference in random numbers shows."""
    torch.manual_seed(3)
    model = torch.nn.Linear(4, 1)

    def batch(step: int) -> list[Micro]:
        x = torch.randn(6, 4, generator=torch.Generator().manual_seed(step))
        return [Micro(x[:4], 4, 4), Micro(x[4:], 2, 2)]

    def loss(x: torch.Tensor) -> torch.Tensor:
        y = torch.nn.functional.dropout(model(x), 0.3).squeeze(1)
        return (y - x.sum(1)).square().sum()

    return model, batch, loss


def run(folder: Path, stop_at: int | None = None, **more: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    model, batch, loss = problem()

    def stopping(step: int) -> list[Micro]:
        if step == stop_at:
            raise KeyboardInterrupt
        return batch(step)

    folder.mkdir(exist_ok=True)
    result = fit(
        dict(model.named_parameters()), Schedule(steps=40, learning_rate=0.05), batch=stopping, summed_loss=loss,
        folder=folder, seed=1, device=CPU, **more,
    )  # fmt: skip
    return {k: v.detach().clone() for k, v in model.named_parameters()}, result


@pytest.mark.parametrize("stop_at", [1, 17, 39])
def test_an_interrupted_run_ends_in_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    whole, wanted = run(tmp_path / "whole", evaluate=lambda: {"dev": 1.0}, evaluate_at=(0, 10, 40))
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", stop_at, evaluate=lambda: {"dev": 1.0}, evaluate_at=(0, 10, 40))
    assert (tmp_path / "cut" / "checkpoint.pt").exists()
    resumed, result = run(tmp_path / "cut", evaluate=lambda: {"dev": 1.0}, evaluate_at=(0, 10, 40))
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)
    assert result["evaluations"] == wanted["evaluations"]
    assert (result["first_loss"], result["last_loss"]) == (wanted["first_loss"], wanted["last_loss"])
    assert not (tmp_path / "cut" / "checkpoint.pt").exists()


def test_the_best_evaluation_is_put_back(tmp_path: Path) -> None:
    values = iter([1.0, 5.0, 2.0])
    model, batch, loss = problem()
    seen = []

    def evaluate() -> dict[str, float]:
        seen.append(model.weight.detach().clone())
        return {"dev": next(values)}

    result = fit(
        dict(model.named_parameters()), Schedule(steps=30, learning_rate=0.05), batch=batch, summed_loss=loss,
        folder=tmp_path, seed=1, device=CPU, evaluate=evaluate, evaluate_at=(10, 20, 30), keep_best="dev",
    )  # fmt: skip
    assert result["best_step"] == 20
    assert torch.equal(model.weight, seen[1])


def test_micro_batches_add_up_to_the_batch(tmp_path: Path) -> None:
    results = []
    for sizes in ((6,), (1, 3, 2)):
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 1)

        def batch(step: int, sizes: tuple[int, ...] = sizes) -> list[Micro]:
            x = torch.randn(6, 4, generator=torch.Generator().manual_seed(step))
            return [Micro(part, len(part), len(part)) for part in x.split(list(sizes))]

        folder = tmp_path / str(len(sizes))
        folder.mkdir()
        fit(
            dict(model.named_parameters()), Schedule(steps=5, learning_rate=0.05), batch=batch,
            summed_loss=lambda x, model=model: (model(x).squeeze(1) - x.sum(1)).square().sum(),
            folder=folder, seed=1, device=CPU,
        )  # fmt: skip
        results.append(model.weight.detach())
    assert torch.allclose(results[0], results[1], atol=1e-6)


def fit_constant(folder: Path, loss: Any, **more: Any) -> dict[str, Any]:
    weight = torch.nn.Parameter(torch.ones(1))
    return fit(
        {"weight": weight}, Schedule(steps=25, learning_rate=1e-6), batch=lambda step: [Micro(weight, 1, 1)],
        summed_loss=loss, folder=folder, seed=1, device=CPU, **more,
    )  # fmt: skip


def test_a_loss_that_is_not_finite_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="lower the learning rate"):
        fit_constant(tmp_path, lambda w: (w * float("inf")).sum())


def test_zero_gradients_and_chance_are_reported(tmp_path: Path) -> None:
    result = fit_constant(tmp_path, lambda w: (w * 0.0).sum() + 1.0, chance=1.0)
    assert any("gradient of exactly zero" in w for w in result["warnings"])
    assert any("no better than guessing" in w for w in result["warnings"])


def test_the_log_is_json_lines(tmp_path: Path) -> None:
    import json

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
