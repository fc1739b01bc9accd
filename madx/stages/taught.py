"""A small language adapter learns from a large one of the same language: distillation on text.

loss = labels * CE + (1 - labels) * T^2 KL(p_teacher || p_student) + states * MSE (distillation.py), all at the masked
positions, with p the softmax of the masked-LM logits / T, each by its own head, and the MSE of the last layer's states.

M positions, D width.
"""

import copy
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from madx.corpora.masking import Masked
from madx.encoders.encoder import Encoder
from madx.encoders.lm_head import LmHead
from madx.formats.adapterhub import load_adapter
from madx.formats.manifest import LM_HEAD
from madx.formats.tensors import load_tensors
from madx.stages.distillation import Distillation, summed_kl
from madx.stages.near_frozen import states_under

TEACHER = " teacher"  # in the encoder


class Taught:
    """What stands beside the student's cross-entropy. `activate` sets the student up again."""

    def __init__(
        self, encoder: Encoder, folder: Path, distillation: Distillation, activate: Callable[[], None]
    ) -> None:
        """`folder`: the teacher's, with its masked-LM head where it has one of its own."""
        self.encoder, self.distillation, self.activate = encoder, distillation, activate
        load_adapter(folder, encoder, load_as=TEACHER)[1].requires_grad_(False)
        now = encoder.lm_head
        self.head = LmHead(copy.deepcopy(now.transform), now.weight, now.bias, now.shape, now.tied)
        if (folder / LM_HEAD).exists():
            own = load_tensors(folder / LM_HEAD)
            for number, parameter in enumerate(self.head.trainable()):
                parameter.data.copy_(own[str(number)])
        activate()

    def __call__(self, masked: Masked, states_MD: Tensor) -> Tensor:
        """Summed over the masked positions."""
        about = self.distillation
        with torch.no_grad():
            theirs_MD, said_MV = states_under(self.encoder, masked, TEACHER, self._logits, self.activate)
        kl = summed_kl(self.encoder.masked_lm_logits(states_MD), said_MV, about.temperature)
        apart = (states_MD - theirs_MD).square().mean()
        return (1 - about.labels) * kl + about.states * len(states_MD) * apart

    def _logits(self, states_MD: Tensor) -> Tensor:
        """The teacher's, which is active."""
        return F.linear(self.head.states(states_MD, self.encoder.adapters.unembed), *self.head.decoder)
