"""Distillation of a language adapter: the loss by hand, and a student is nearer its teacher than one by itself."""

from pathlib import Path

import pytest
import torch.nn.functional as F

from madx.encoders.encoder import Encoder
from madx.formats.adapterhub import save_adapter
from madx.methods.bottleneck import BottleneckAdapter
from madx.stages.distillation import Distillation
from madx.stages.language import LanguageStage
from madx.stages.masked_lm import masked_lm_loss
from madx.stages.taught import TEACHER, Taught
from madx.training.fit import Schedule
from tests.stages.test_federated import made, planner, session_in
from tests.stages.test_language import IDS, MASKED, with_adapter


def test_the_loss_by_hand(encoder: Encoder, tmp_path: Path) -> None:
    with_adapter(encoder)
    save_adapter(tmp_path, encoder, "swe")  # the teacher, which has no head of its own
    for parameter in encoder.adapters.get("swe").parameters():
        parameter.data.normal_(std=0.1)
    about = Distillation(temperature=3.0, labels=0.25, states=2.0)
    taught = Taught(encoder, tmp_path, about, lambda: encoder.activate("swe"))
    loss = masked_lm_loss(encoder, MASKED, near=taught, share=about.labels)
    own_MD = encoder.hidden(IDS)[MASKED.chosen_BT]
    own_MV, plain = encoder.masked_lm_logits(own_MD).double(), masked_lm_loss(encoder, MASKED).double()
    encoder.activate(TEACHER)
    theirs_MD = encoder.hidden(IDS)[MASKED.chosen_BT]
    theirs_MV = encoder.masked_lm_logits(theirs_MD).double()
    kl = 9 * F.kl_div((own_MV / 3).log_softmax(-1), (theirs_MV / 3).log_softmax(-1), reduction="sum", log_target=True)
    wanted = 0.25 * plain + 0.75 * kl + 2 * 3 * (own_MD - theirs_MD).double().square().mean()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-4)
    loss.backward()
    assert all(p.grad is not None for p in encoder.adapters.get("swe").parameters())
    assert all(p.grad is None for p in encoder.adapters.get(TEACHER).parameters())


def test_a_student_comes_nearer_its_teacher_than_by_itself(project: Path, tmp_path: Path) -> None:
    session = session_in(tmp_path / "store")
    large = planner(project).language_stage("swe")
    teacher = large.model_copy(update={"schedule": Schedule(steps=150, learning_rate=1e-2)})
    small = BottleneckAdapter(spec=teacher.method.spec.model_copy(update={"reduction_factor": 16.0, "leave_out": (0,)}))  # type: ignore[attr-defined]
    alone = large.model_copy(update={"method": small, "schedule": Schedule(steps=60, learning_rate=1e-2)})
    student = alone.model_copy(
        update={"teacher": teacher, "distillation": Distillation(temperature=1.0, labels=0.5, states=0.0)}
    )
    assert teacher in student.upstream
    assert len({teacher.name, alone.name, student.name}) == 3
    losses, bytes_ = {}, {}
    for name, stage in (("teacher", teacher), ("alone", alone), ("student", student)):
        folder = made(stage, session)
        losses[name] = session.result(stage)["held_out_after"]
        bytes_[name] = (folder / "adapter.safetensors").stat().st_size
    assert losses["teacher"] < losses["student"] < losses["alone"] - 0.05
    assert bytes_["student"] == bytes_["alone"] < bytes_["teacher"] / 1.5


def test_the_recipes_student_is_small_and_its_teacher_is_the_languages_own(project: Path) -> None:
    settings = (
        "methods=['distilled-language']",
        "distillation={ reduction_factor = 8.0, leave_out = [0], labels = 0.2 }",
    )
    plan = planner(project, *settings)
    cell = plan.cell(plan.task("tags"), "distilled-language", "swe", 1)
    for stage, code in ((cell.language, "swe"), (cell.stage.below[0], "eng")):
        assert isinstance(stage, LanguageStage)
        assert stage.teacher == plan.language_adapter(code)
        assert isinstance(stage.method, BottleneckAdapter)
        assert (stage.method.spec.reduction_factor, stage.method.spec.leave_out) == (8.0, (0,))
        assert stage.distillation == Distillation(labels=0.2)
