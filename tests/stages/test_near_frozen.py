"""The pull towards the frozen encoder's predictions: KL(p_frozen || p_adapted), summed over the masked positions."""

import pytest
import torch

from madx.adapters.spec import BottleneckSpec
from madx.corpora.masking import Masked
from madx.encoders.encoder import Encoder
from madx.stages.near_frozen import NearFrozen

IDS = torch.tensor([[1, 50, 4, 70, 80, 4, 2], [1, 90, 100, 4, 60, 50, 2]])
MASKED = Masked(IDS, IDS == 4, torch.tensor([60, 70, 50]))


def test_the_formula(encoder: Encoder) -> None:
    adapter = encoder.add("swe", BottleneckSpec(reduction_factor=2.0))
    read = MASKED.chosen_BT.nonzero(as_tuple=True)
    own = encoder.masked_lm_logits(encoder.hidden(IDS, read=read)).double().softmax(-1)
    encoder.activate("swe")
    near = NearFrozen(encoder, 0.5, lambda: encoder.activate("swe"))
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    for part in encoder.lm_head.transform:  # the head is trained meanwhile; the frozen predictions are of the old one
        for parameter in part.parameters():
            parameter.data.add_(0.1)
    states = encoder.hidden(IDS, read=read)
    adapted = encoder.masked_lm_logits(states).double().softmax(-1)
    wanted = 0.5 * (own * (own.log() - adapted.log())).sum()
    assert float(near(MASKED, states).detach()) == pytest.approx(float(wanted.detach()), rel=1e-4)
    assert float(wanted.detach()) > 1e-3
    assert encoder.adapters.active is not None
    for part in encoder.lm_head.transform:
        for parameter in part.parameters():
            parameter.data.sub_(0.1)


def test_nothing_is_pulled_where_nothing_has_moved(tiny: Encoder) -> None:
    adapter = tiny.add("swe", BottleneckSpec(reduction_factor=2.0, init_weights="mam_adapter"))
    tiny.activate("swe")
    near = NearFrozen(tiny, 1.0, lambda: tiny.activate("swe"))
    states = tiny.hidden(IDS, read=MASKED.chosen_BT.nonzero(as_tuple=True))
    assert float(near(MASKED, states).detach()) == pytest.approx(0.0, abs=1e-5)
    assert adapter.at(0, "ffn") is not None
