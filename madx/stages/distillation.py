"""Distillation: a small task adapter learns from a finished stack, language adapter, task adapter and head.

loss = labels * CE + (1 - labels) * T^2 KL(p_teacher || p_student) + states * MSE, with p the softmax of logits / T
(Hinton et al. 2015, arXiv 1503.02531) and the MSE of the last layer's states where the head reads them (Jiao et
al. 2020, TinyBERT, arXiv 1909.10351). Between language and task adapters: Ansell et al. 2023 (arXiv 2306.01709).
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from madx.config import Frozen
from madx.encoders.lower import Lower
from madx.stages.task_model import TaskModel
from madx.tasks.batches import Batch


class Distillation(Frozen):
    temperature: float = Field(2.0, gt=0)  # T
    labels: float = Field(0.5, ge=0, le=1)  # the labels' share of the loss; the rest is the teacher's
    states: float = Field(1.0, ge=0)  # weight of the last layer's states beside it

    def summed_loss(
        self, student: TaskModel, teacher: TaskModel, batch: Batch, language: str | None, lower: Lower | None
    ) -> Tensor:
        """Of a part of a batch, summed over its targets; the states' term counts for each target alike."""
        kind = student.kind
        with torch.no_grad(), teacher.encoder.evaluating():
            theirs = teacher.states_over(batch, language)
            said = kind.decisions(teacher.head, theirs, batch)
        own = student.states_over(batch, language, lower)
        loss = self.labels * kind.summed_loss(student.head, own, batch)
        pairs = zip(kind.decisions(student.head, own, batch), said, strict=True)
        kl = torch.stack([summed_kl(ours_NC, theirs_NC, self.temperature) for ours_NC, theirs_NC in pairs]).sum()
        if kind.read_positions(batch) is None and batch.mask_BT is not None:  # all were computed; padding says nothing
            own, theirs = own[batch.mask_BT], theirs[batch.mask_BT]
        targets = sum(map(kind.targets, batch.features))
        return loss + (1 - self.labels) * kl + self.states * targets * (own - theirs).square().mean()


def summed_kl(student_NC: Tensor, teacher_NC: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) of the softmax over C of logits / T, in nats, summed over N."""
    student_log_NC, teacher_log_NC = ((x / temperature).log_softmax(-1) for x in (student_NC, teacher_NC))
    return temperature**2 * (teacher_log_NC.exp() * (teacher_log_NC - student_log_NC)).sum()
