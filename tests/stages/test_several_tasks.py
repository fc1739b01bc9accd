"""A recipe's tasks trained together: who learns from what, what is kept, and that each is handed what was trained."""

from pathlib import Path
from typing import Any

import pytest
import torch

from madx.catalog.find import Catalogue
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.formats.adapterhub import load_adapter
from madx.formats.manifest import read_manifest
from madx.formats.tensors import load_tensors
from madx.pipeline.helpers import make
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import load_recipe
from madx.stages import several_tasks
from madx.stages.scoring import score_examples
from madx.stages.session import Session
from madx.stages.several_tasks import HandedOut, TasksStage
from madx.stages.task_model import in_encoder
from madx.store import Store
from madx.training import fit as fit_module

SETTINGS = ["methods=['hyperformer']", "seeds=[1]", "hyperformer={ reduction_factor = 4.0, learning_rate = 0.01 }"]


@pytest.fixture
def two(project: Path) -> Path:
    """Two tasks, of other labels and sizes."""
    (project / "tasks" / "sound.toml").write_text(
        'kind = "classification"\nmetric = "accuracy"\nlabels = ["loud", "quiet"]\n'
        'columns = { text = "t", label = "l" }\n[data.eng]\ntrain = "sound.tsv"\ndev = "sound.tsv"\n'
        '[data.swe]\ntest = "sound.tsv"\n'
    )
    rows = [("the dog sings", "loud"), ("a cat sleeps", "quiet"), ("two birds sing", "loud"), ("we see", "quiet")]
    (project / "sound.tsv").write_text("t\tl\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    return project


def planner_of(project: Path, *settings: str, tasks: str = "['tags', 'sound']") -> Planner:
    recipe = load_recipe(project / "recipe.toml", [*SETTINGS, f"tasks={tasks}", *settings])
    return Planner(recipe, Catalogue(project), None, project)


def handed(planner: Planner, task: str) -> HandedOut:
    stage = planner.source_stage(planner.task(task), "hyperformer", 1)
    assert isinstance(stage, HandedOut)
    return stage


def ready(planner: Planner, folder: Path, *steps: Any) -> Session:
    session = Session(Store(folder / "store"), torch.device("cpu"))
    make(planner.plan_of(steps), session, lambda progress: None, jobs=1)
    return session


def test_all_tasks_share_one_training_over_the_sources_adapter(two: Path) -> None:
    planner = planner_of(two, "task_adapter.temperature=3", "task.sound={ batch_size = 2, epochs = 9 }")
    tags, sound = handed(planner, "tags"), handed(planner, "sound")
    assert tags.joint == sound.joint
    assert [(t.name, t.batch_size) for t in tags.joint.tasks] == [("tags", 4), ("sound", 2)]
    assert [adapter.subject for adapter in tags.joint.below] == ["eng"]
    assert (sound.epochs, sound.joint.epochs) == (3, 3)
    assert any("task.sound.epochs is not looked at" in note for note in planner.plan().notes)
    assert sound.joint.upstream == tags.below
    alone = handed(planner_of(two, tasks="['tags']"), "tags")
    assert alone.joint.subject == "tags"
    assert alone.name != tags.name


def test_a_task_without_labels_in_the_source_is_refused(two: Path) -> None:
    path = two / "tasks" / "sound.toml"
    path.write_text(path.read_text().replace('train = "sound.tsv"\n', ""))
    with pytest.raises(InputError, match="task 'sound' has no training data for the source language 'eng'"):
        handed(planner_of(two), "tags")


def test_a_budget_leaves_the_network_as_it_is_and_says_so(two: Path) -> None:
    planner = planner_of(two, "budget='1%'")
    assert handed(planner, "tags").joint == handed(planner_of(two), "tags").joint
    assert any("adapter out of a network has the size that it has" in note for note in planner.notes)


def test_an_update_teaches_the_network_and_its_own_task_alone(two: Path, tiny: Encoder) -> None:
    joint = handed(planner_of(two), "tags").joint
    with tiny.lent(), tiny.training():
        network, models = joint._new(tiny)
        parameters = several_tasks._parameters(network, models)
        learner = joint._learner(joint.tasks[1], models[1], [])
        for part in learner.update(0):
            part.loss().backward()
        taught = {name for name, p in parameters.items() if p.grad is not None and p.grad.any()}
        rows = parameters["network.tasks.weight"].grad
        assert rows is not None
        assert rows.abs().sum(1).nonzero().flatten().tolist() == [1]
    assert not [name for name in taught if name.startswith("head.tags.")]
    wanted = {"network.tasks.weight", "network.layers.weight", "network.places.weight", "network.mix.0.weight",
              "network.maps.down/weight.weight", "network.maps.up/bias.bias"}  # fmt: skip
    assert wanted <= taught
    assert any(name.startswith("head.sound.") for name in taught)
    assert not any(p.requires_grad for p in tiny.model.parameters())


def test_each_task_is_handed_an_ordinary_adapter_that_computes_what_the_network_did(two: Path, tmp_path: Path) -> None:
    planner = planner_of(two)
    stages = [handed(planner, task) for task in ("tags", "sound")]
    session = ready(planner, tmp_path, *stages)
    joint = stages[0].joint
    ids = torch.tensor([[1, 50, 60, 70, 80, 90, 2]])
    encoder = session.encoder(joint.encoder)
    for stage in stages:
        with encoder.lent():
            (language,) = [adapter.attach(encoder, session) for adapter in joint.below]
            network, models = joint._new(encoder)
            network.load_state_dict(load_tensors(session.folder(joint) / several_tasks.FILE))
            models[stages.index(stage)].retarget(language)
            wanted = encoder.hidden(ids).detach()
        with encoder.lent():
            stage.below[0].attach(encoder, session)
            model = stage.trained(encoder, session)
            model.retarget(language)
            assert torch.allclose(encoder.hidden(ids), wanted, atol=1e-6)
            assert not any(p.requires_grad for p in encoder.adapters.get(in_encoder(stage.subject)).parameters())
        with encoder.lent():
            name, adapter = load_adapter(session.folder(stage), encoder)
            assert (name, adapter.spec) == (stage.subject, joint.method.spec)
        about = read_manifest(session.folder(stage))
        assert about["generated_from"] == {"tasks": ["tags", "sound"]}
        assert (about["language_adapters"], about["source"]) == (["eng"], ["eng"])
        assert about["hyper_parameters"]["learning_rate"] == 0.01


def test_what_is_kept_is_the_best_mean_over_the_tasks_dev_sets(two: Path, tmp_path: Path) -> None:
    planner = planner_of(two, "task_adapter.epochs=20")
    stages = [handed(planner, task) for task in ("tags", "sound")]
    session = ready(planner, tmp_path, *stages)
    found = session.result(stages[0].joint)
    assert len(found["evaluations"]) == 20
    for entry in found["evaluations"]:
        assert entry["dev"] == pytest.approx((entry["dev_tags"] + entry["dev_sound"]) / 2)
    best = max(found["evaluations"], key=lambda entry: entry["dev"])
    assert found["best_step"] == best["step"]
    assert best["dev_tags"] > found["evaluations"][0]["dev_tags"] + 20  # it has learnt
    encoder = session.encoder(stages[0].encoder)
    for stage in stages:
        (own,) = session.result(stage)["evaluations"]
        assert own == {"step": best["step"], "dev": best[f"dev_{stage.subject}"]}
        with encoder.lent():  # and it is what its handed adapter has
            language = stage.below[0].attach(encoder, session)
            model = stage.trained(encoder, session)
            model.retarget(language)
            (dev,) = stage.dev
            examples = dev.load()
            assert score_examples(dev, examples, model.predict(examples))[0] == pytest.approx(own["dev"])


@pytest.mark.parametrize("option", ["checkpoint='best'", "average=2"])
def test_a_resumed_training_ends_in_the_same_bytes(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr(fit_module, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(fit_module, "LOG_EVERY", 1)
    planner = planner_of(two, f"task_adapter.{option}")
    joint = handed(planner, "tags").joint
    session = ready(planner, tmp_path, *joint.upstream)

    def train(folder: Path, stop_at: int | None = None) -> tuple[dict[str, bytes], dict[str, Any]]:
        def watch(label: str, done: int, total: int, numbers: dict[str, Any]) -> None:
            if done == stop_at:
                raise KeyboardInterrupt

        session.watch = watch
        folder.mkdir(exist_ok=True)
        result = joint.run(folder, session)
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.safetensors")}, result

    whole, wanted = train(tmp_path / "whole")
    for stop_at in (2, 9, 14):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "cut", stop_at)
    resumed, result = train(tmp_path / "cut")
    assert len(whole) == 3  # the network and two heads
    assert resumed == whole
    assert result["evaluations"] == wanted["evaluations"]


def test_a_recipe_without_dev_sets_keeps_the_last(two: Path, tmp_path: Path) -> None:
    for name in ("tags", "sound"):
        path = two / "tasks" / f"{name}.toml"
        path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("dev")))
    planner = planner_of(two, "task_adapter.epochs=1")
    stage = handed(planner, "sound")
    session = ready(planner, tmp_path, stage)
    assert session.result(stage)["evaluations"] == []
    assert isinstance(stage.joint, TasksStage)
    assert session.result(stage.joint)["best_step"] is None
