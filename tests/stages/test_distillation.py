"""Distillation: the loss by hand in float64, what the teacher is, and that the student is smaller."""

import math
from pathlib import Path

import pytest
import torch

from madx.adapters.bank import Adapter
from madx.methods.bottleneck import BottleneckAdapter
from madx.stages.distillation import Distillation, summed_kl
from madx.stages.session import Session
from madx.stages.task import TaskStage
from madx.store import Store
from tests.stages.test_task_options import stage_of


def test_the_kl_by_hand_in_float64() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    temperature, wanted = 3.0, 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        p_s, p_t = ([math.exp(x / temperature) for x in row] for row in (s, t))
        p_s, p_t = [x / sum(p_s) for x in p_s], [x / sum(p_t) for x in p_t]
        wanted += temperature**2 * sum(q * math.log(q / p) for p, q in zip(p_s, p_t, strict=True))
    assert summed_kl(student, teacher, temperature).item() == pytest.approx(wanted, rel=1e-12)
    assert summed_kl(teacher, teacher, temperature).item() == pytest.approx(0, abs=1e-12)
    student.requires_grad_(True)
    summed_kl(student, teacher, 1.0).backward()  # the gradient of KL is softmax(s) - softmax(t)
    assert student.grad is not None
    assert torch.allclose(student.grad, student.softmax(-1) - teacher.softmax(-1), atol=1e-12)


def made(stage: TaskStage, session: Session) -> None:
    with session.store.claim(stage.name) as folder:
        assert folder is not None
        session.store.finish(stage.name, {"seconds": 0.0, "memory_mb": 0, "result": stage.run(folder, session)})


def test_the_whole_loss_is_its_three_terms(project: Path, tmp_path: Path) -> None:
    teacher_stage = stage_of(project)
    student_stage = stage_of(project, "task_adapter.reduction_factor=8")
    session = Session(Store(tmp_path / "store"), torch.device("cpu"))
    made(teacher_stage, session)
    encoder = session.encoder(teacher_stage.encoder)
    with student_stage.method.borrowed(encoder):
        teacher = teacher_stage.trained(encoder, session, called="teacher")
        _, student = student_stage._new(encoder, session)
        features = student.features(student_stage.train[0].load()[:4])
        (batch,) = student.parts(features)
        own, theirs = student.states_over(batch, None), teacher.states_over(batch, None)
        assert not torch.allclose(own, theirs)
        said, told = student.head(own).double(), teacher.head(theirs).double()
        gold = torch.tensor([label for feature in batch.features for label in feature.target])
        ce = torch.nn.functional.cross_entropy(said, gold, reduction="sum")
        kl = 4 * torch.nn.functional.kl_div(
            (said / 2).log_softmax(-1), (told / 2).log_softmax(-1), reduction="sum", log_target=True
        )
        mse = len(gold) * (own.double() - theirs.double()).square().mean()
        loss = Distillation(temperature=2.0, labels=0.25, states=3.0).summed_loss(student, teacher, batch, None, None)
        assert loss.item() == pytest.approx((0.25 * ce + 0.75 * kl + 3 * mse).item(), rel=1e-5)
        loss.backward()
        assert all(p.grad is None for p in teacher.head.parameters())
        assert all(p.grad is None for p in encoder.adapters.get("teacher").parameters())
        assert all(p.grad is not None for p in student.head.parameters())


def test_the_student_is_smaller_and_its_teacher_is_madx(project: Path) -> None:
    sizes = ("task_adapter.reduction_factor=2", "distillation.reduction_factor=8", "distillation.leave_out=[0]")
    student = stage_of(project, *sizes, method="madx-distilled")
    teacher = student.teacher
    assert teacher is not None
    assert teacher.name == stage_of(project, *sizes, method="madx").name
    assert teacher.below == student.below
    assert teacher in student.upstream
    counts = []
    for stage in (student, teacher):
        assert isinstance(stage.method, BottleneckAdapter)
        adapter = Adapter(stage.method.spec, width=32, num_layers=2, embedding_width=32)
        counts.append(sum(p.numel() for p in adapter.parameters()))
    assert counts[0] < counts[1] / 4
    other = stage_of(project, *sizes, "distillation.temperature=4", method="madx-distilled")
    assert other.name != student.name
