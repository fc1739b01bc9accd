"""How long it will take: by work, by what was seen here, or measured at once."""

from pathlib import Path

import pytest
import torch

from madx.encoders.encoder import Encoder
from madx.pipeline import estimate as estimates
from madx.pipeline.estimate import advice, duration, estimate, labels_of, measure
from madx.pipeline.helpers import make
from madx.pipeline.plan import Plan
from madx.pipeline.project import project as plan_and_session
from madx.pipeline.project import read_recipe
from madx.stages.session import Session

CPU = torch.device("cpu")


def planned(*overrides: str) -> tuple[Plan, Session]:
    path = Path("recipe.toml")
    few = ['methods=["madx", "task-only"]', "seeds=[1]", *overrides]
    planner, session = plan_and_session(read_recipe(path, few), path, None, Path("results"), None, "cpu")
    return planner.plan(), session


def test_measuring_leaves_the_encoder_as_it_was(tiny: Encoder) -> None:
    speed = measure(tiny)
    assert min(speed) > 0
    assert tiny.adapters.names == []
    assert not any(p.requires_grad for p in tiny.model.parameters())


def test_the_estimate_grows_with_steps_batches_and_epochs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "measure", lambda encoder: estimates.Speed(1000.0, 2000.0, 4000.0))

    def seconds(stage: str, *overrides: str) -> float:
        plan, session = planned(*overrides)
        found = estimate(plan, session)
        assert set(found) == {step.name for step in plan.steps}
        return next(s for name, s in found.items() if name.startswith(stage))

    # 12 updates of 128 tokens at 1,000 a second, and five losses on the 5 % of the text that are held out
    held_out = 5 * 0.05 * (project / "eng.txt").stat().st_size / 4 / 4000
    assert seconds("language-") == pytest.approx(12 * 128 / 1000 + held_out)
    more = seconds("language-", "language_adapter.steps=120", "language_adapter.batch_tokens=256")
    assert more == pytest.approx(120 * 256 / 1000 + held_out)
    assert seconds("task-", "task_adapter.epochs=30") == pytest.approx(10 * seconds("task-"))
    hyper = ('methods=["hyper-x"]', "joint.text_updates=3"), ('methods=["hyper-x"]', "joint.text_updates=1")
    more = seconds("task-", *hyper[0]) - seconds("task-", *hyper[1])
    assert more == pytest.approx(2 * (3 * 5 * 128) * estimates.EVERY_WEIGHT / 2000)  # 3 epochs of 18 sentences by 4


def test_joint_trainings_are_counted_as_stage_one(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "measure", lambda encoder: estimates.Speed(1000.0, 2000.0, 4000.0))
    plan, session = planned('methods=["generated"]', "joint.steps=500")
    (generator,) = (s for name, s in estimate(plan, session).items() if name.startswith("generator-"))
    held_out = sum(2 * 0.05 * (project / f"{code}.txt").stat().st_size / 4 / 4000 for code in ("eng", "swe"))
    assert generator == pytest.approx(500 * 128 / 1000 + held_out)


def test_tasks_that_are_trained_together_are_counted_once_and_by_their_turns(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "measure", lambda encoder: estimates.Speed(1000.0, 2000.0, 4000.0))
    task = (project / "tasks" / "tags.toml").read_text()
    (project / "tasks" / "few.toml").write_text(task.replace('train = "eng.tsv"', 'train = "swe.tsv"'))

    def seconds(stage: str, temperature: float = 1.0, tasks: str = '["tags", "few"]') -> list[float]:
        settings = 'methods=["hyperformer"]', f"tasks={tasks}", f"hyperformer.temperature={temperature}"
        plan, session = planned(*settings)
        return [s for name, s in estimate(plan, session).items() if name.startswith(stage)]

    both, alone = seconds("tasks-"), seconds("tasks-", tasks='["tags"]') + seconds("tasks-", tasks='["few"]')
    assert both == [pytest.approx(sum(alone))]
    assert seconds("handed-") == [0.0, 0.0]
    assert seconds("tasks-", 10.0) < both  # of six batches three instead of five are the longer sentences


def test_a_weight_that_is_tried_out_and_a_mixture_that_is_asked_often_take_time(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "measure", lambda encoder: estimates.Speed(1000.0, 2000.0, 4000.0))
    beside = 'text={deu=["eng.txt"]}', 'relatives=["deu"]'  # two adapters side by side

    def seconds(method: str, stage: str, *overrides: str) -> float:
        plan, session = planned(f'methods=["{method}"]', *beside, *overrides)
        found = {step: estimate(plan, session)[step.name] for step in plan.steps if step.stage == stage}
        return next(s for step, s in found.items() if step.subject.endswith("swe"))

    assert seconds("arithmetic", "arithmetic") == pytest.approx(11 * 64 * 16 / 4000)  # blocks of 16 tokens
    plain = seconds("madx", "evaluation")
    assert seconds("emea", "evaluation") == pytest.approx(plain * (1 + 4000 / 2000))
    more = seconds("emea", "evaluation", "evaluation.entropy_steps=3")
    assert more == pytest.approx(plain * (1 + 3 * 4000 / 2000))
    assert seconds("ensemble-logits", "evaluation") == pytest.approx(2 * plain)


def test_what_was_finished_here_is_the_measure(project: Path) -> None:
    plan, session = planned()
    make(plan, session, lambda progress: None, 1)
    assert estimate(plan, session) == {}
    plan, session = planned("seeds=[1, 2]")
    twin, other = planned("seeds=[2]")
    found = estimate(plan, session)
    known = {s.name: session.store.result(s.name)["seconds"] for s in plan.steps if session.store.is_done(s.name)}
    mean = sum(v for k, v in known.items() if k.startswith("task-")) / 2
    tasks = [value for name, value in found.items() if name.startswith("task-")]
    assert tasks == pytest.approx([mean] * 2, rel=1e-6)
    assert set(found) == set(estimate(twin, other))


def test_days_are_said_with_what_to_change(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "has_matrix_unit", lambda device: False)
    plan, _ = planned()
    language = next(step.name for step in plan.steps if step.stage == "language")
    said = advice(plan, {language: 9 * 24 * 3600.0}, CPU)
    assert said is not None
    assert said.startswith("about 9.0 days on this machine, most of it in stage 'language'")
    assert said.endswith("or fewer targets, methods or seeds")  # 12 x 128 tokens can't be lowered
    plan, _ = planned("language_adapter.steps=100000", "language_adapter.batch_tokens=16384")
    language = next(step.name for step in plan.steps if step.stage == "language")
    said = advice(plan, {language: 9 * 24 * 3600.0}, CPU)
    assert said is not None
    assert "fewer updates than language_adapter.steps = 100000 x batch_tokens = 16384 (3,000 x 2,048 at" in said
    assert advice(plan, {language: 3600.0}, CPU) is None
    assert [duration(s) for s in (40, 600, 12600, 90000)] == ["40 s", "10 min", "3.5 h", "1.0 days"]


def test_a_processor_whose_matrix_unit_lies_idle_is_told_of(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "has_matrix_unit", lambda device: True)
    plan, _ = planned()
    (language, *_) = (step.name for step in plan.steps if step.stage == "language")
    said = 'this processor has AMX: with precision = "bf16" it takes about half of that'
    assert advice(plan, {language: 3600.0}, CPU) == f"about 60 min in all; {said}"
    assert str(advice(plan, {language: 9 * 24 * 3600.0}, CPU)).endswith(said)
    assert advice(plan, {language: 60.0}, CPU) is None
    plan, _ = planned('precision="fp32"')  # which was asked for
    assert advice(plan, {language: 3600.0}, CPU) is None


def test_steps_have_names_for_people(project: Path) -> None:
    plan, _ = planned()
    labels = labels_of(plan)
    told = {step.stage: labels.get(step.name) for step in plan.steps if step.subject in ("swe", "tags", "tags-swe")}
    assert told["language"] == "adapter of swe, seed 1"
    assert {labels[s.name] for s in plan.steps if s.stage == "task"} == {"madx, seed 1", "task-only, seed 1"}
