"""What stage two can be asked for: gradual unfreezing and averaging, and that a resumed one ends in the same bytes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from madx.catalog.find import Catalogue
from madx.config import InputError
from madx.formats.tensors import load_tensors
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import load_recipe
from madx.stages.session import Session
from madx.stages.task import TaskStage
from madx.store import Store
from madx.training import fit as fit_module
from madx.training.unfreezing import Unfreezing

Files = dict[str, torch.Tensor]
LOWER, UPPER = "layers.0.", "layers.1."


def stage_of(project: Path, *settings: str, method: str = "task-only") -> TaskStage:
    recipe = load_recipe(project / "recipe.toml", [f"methods=['{method}']", "seeds=[1]", *settings])
    planner = Planner(recipe, Catalogue(project), None, project)
    return planner.cell(planner.task("tags"), method, "swe", 1).stage


def train(stage: TaskStage, folder: Path, stop_at: int | None = None) -> tuple[Files, dict[str, Any]]:
    """What it saves, and its report; at `stop_at`, it is interrupted."""
    session = Session(Store(folder / "store"), torch.device("cpu"))

    def watch(label: str, done: int, total: int, numbers: dict[str, Any]) -> None:
        if done == stop_at:
            raise KeyboardInterrupt

    session.watch = watch
    folder.mkdir(exist_ok=True)
    result = stage.run(folder, session)
    return {k: t for path in folder.glob("*.safetensors") for k, t in load_tensors(path).items()}, result


@pytest.fixture
def each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every update, and somebody who watches."""
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(fit_module, "LOG_EVERY", 1)


def moved(before: Files, after: Files, part: str) -> bool:
    names = [k for k in before if part in k and ".adapters." in k]
    assert names
    return any(not torch.allclose(before[k], after[k], rtol=0, atol=1e-20) for k in names)


def test_only_the_top_layer_moves_before_step_k_and_all_do_after(project: Path, tmp_path: Path) -> None:
    settings = ("task_adapter.epochs=1", "task_adapter.checkpoint='last'", "task_adapter.batch_size=2")
    fresh, _ = train(stage_of(project, *settings, "task_adapter.learning_rate=1e-30"), tmp_path / "fresh")
    one_short, result = train(stage_of(project, *settings, "task_adapter.unfreeze_every=9"), tmp_path / "nine")
    assert not moved(fresh, one_short, LOWER)
    assert moved(fresh, one_short, UPPER)
    (warning,) = [line for line in result["warnings"] if "unfreeze_every" in line]
    assert "in 9 updates only the upper 1 of 2 layers" in warning
    eight, result = train(stage_of(project, *settings, "task_adapter.unfreeze_every=8"), tmp_path / "eight")
    assert moved(fresh, eight, LOWER)
    assert not [line for line in result["warnings"] if "unfreeze_every" in line]


def test_layers_come_from_the_top_one_by_one_and_those_without_an_adapter_take_no_turn() -> None:
    layers = {layer: [torch.nn.Parameter(torch.zeros(1))] for layer in (0, 2, 3)}
    unfreezing = Unfreezing(layers, every=5)
    for done, trained in ((0, {3}), (4, {3}), (5, {2, 3}), (9, {2, 3}), (10, {0, 2, 3}), (99, {0, 2, 3}), (0, {3})):
        unfreezing(done)
        assert {layer for layer, (p,) in layers.items() if p.requires_grad} == trained
    assert "in 10 updates only the upper 2 of 3 layers" in unfreezing.warning(10)[0]
    assert unfreezing.warning(11) == []


@pytest.mark.usefixtures("each_step")
@pytest.mark.parametrize("option", ["unfreeze_every=6", "average=2", "temperature=3"])
def test_a_resumed_training_ends_in_the_same_bytes(project: Path, tmp_path: Path, option: str) -> None:
    task = (project / "tasks" / "tags.toml").read_text()
    (project / "tasks" / "tags.toml").write_text(task.replace("[data.swe]", '[data.swe]\ntrain = "swe.tsv"'))
    sources = ["source=['eng', 'swe']"] if option.startswith("temperature") else []
    stage = stage_of(project, f"task_adapter.{option}", *sources)  # three epochs of five updates, six with two sources
    whole, wanted = train(stage, tmp_path / "whole")
    for stop_at in (3, 7, 13):
        with pytest.raises(KeyboardInterrupt):
            train(stage, tmp_path / "cut", stop_at)
    resumed, result = train(stage, tmp_path / "cut")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert result["evaluations"] == wanted["evaluations"]


def test_what_is_kept_is_the_mean_over_the_last_epochs(project: Path, tmp_path: Path) -> None:
    epochs = []
    evaluate = fit_module._evaluate

    def watched(state: Any, validation: Any, log: Any) -> dict[str, float]:
        epochs.append({k: p.detach().double().clone() for k, p in watched.parameters.items()})
        return evaluate(state, validation, log)

    with pytest.MonkeyPatch.context() as patch:
        new = TaskStage._new

        def kept(self: TaskStage, encoder: Any, session: Session) -> Any:
            parameters, model = new(self, encoder, session)
            watched.parameters = parameters
            return parameters, model

        patch.setattr(TaskStage, "_new", kept)
        patch.setattr(fit_module, "_evaluate", watched)
        _, result = train(stage_of(project, "task_adapter.average=2"), tmp_path / "out")
    first, second, third, averaged = epochs
    assert any(not torch.equal(first[key], third[key]) for key in first)
    for key in third:
        assert torch.equal(((second[key] + third[key]) / 2).float(), averaged[key].float()), key
    assert [entry["step"] for entry in result["evaluations"]] == [5, 10, 15, 15]  # the last is the average's
    assert result["best_step"] is None


def test_what_options_need(project: Path) -> None:
    with pytest.raises(InputError, match="average = 4: there are 3 epochs"):
        stage_of(project, "task_adapter.average=4")
    plain = stage_of(project)
    assert stage_of(project, "task_adapter.average=0", "task_adapter.unfreeze_every=0").name == plain.name
    assert stage_of(project, "task_adapter.average=2").checkpoint == "last"
    for method, every in (("madx", 3), ("madx-compacter", 3), ("lora", 0), ("full", 0)):
        assert stage_of(project, "task_adapter.unfreeze_every=3", method=method).unfreeze_every == every
