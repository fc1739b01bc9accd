"""AdapterDrop: which modules go, what is drawn in training and when, and that it ends with the training."""

from pathlib import Path

import pytest
import torch

from madx.adapters.spec import BottleneckSpec
from madx.encoders.encoder import Encoder
from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.robust import RobustAdapter
from madx.stages.session import Session
from madx.store import Store

IDS = torch.tensor([[1, 50, 60, 70, 80, 90, 2], [1, 90, 100, 110, 60, 50, 2]])
SPEC = BottleneckSpec(reduction_factor=2, placement=("attention", "ffn"))


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(Store(tmp_path / "store"), torch.device("cpu"))


def test_dropped_layers_are_an_adapter_without_modules_there(encoder: Encoder, session: Session) -> None:
    """And the language's below stays whole."""
    with encoder.lent():
        BottleneckAdapter(spec=SPEC).attach(encoder, "swe", 1, session)
        BottleneckAdapter(spec=SPEC).attach(encoder, "pos", 2, session)
        for adapter in map(encoder.adapters.get, ("swe", "pos")):
            for parameter in adapter.parameters():
                parameter.data.normal_(std=0.3)
        whole = encoder.adapters.get("pos").bottlenecks
        for count in range(encoder.num_layers + 1):
            encoder.adapters.dropped["pos"] = count
            encoder.activate("swe", "pos")
            dropped = encoder.hidden(IDS)
            kept = {key: module for key, module in whole.items() if int(key.rsplit("_", 1)[1]) >= count}
            encoder.adapters.get("pos").bottlenecks = torch.nn.ModuleDict(kept)
            encoder.adapters.dropped.clear()
            assert torch.equal(encoder.hidden(IDS), dropped)
            encoder.adapters.get("pos").bottlenecks = whole
        encoder.activate("swe")
        assert torch.equal(encoder.hidden(IDS), dropped)  # all of them


def test_every_pass_in_training_draws_anew_and_evaluation_drops_nothing(tiny: Encoder, session: Session) -> None:
    method, drawn = RobustAdapter(spec=SPEC), []
    hooks = len(tiny.base._forward_pre_hooks)
    with method.borrowed(tiny):
        method.attach(tiny, "pos", 1, session)
        with tiny.training():
            for step in range(200):
                torch.manual_seed(step)
                tiny.hidden(IDS[:1, :3])
                drawn.append(tiny.adapters.dropped["pos"])
            torch.manual_seed(7)
            tiny.hidden(IDS[:1, :3])
            assert tiny.adapters.dropped["pos"] == drawn[7]  # of the seed alone, so that resuming draws the same
            with tiny.evaluating():
                tiny.hidden(IDS[:1, :3])
                assert tiny.adapters.dropped["pos"] == 0
    assert set(drawn) == {0, 1}  # two layers; one always stays
    assert 70 < drawn.count(1) < 130
    assert (len(tiny.base._forward_pre_hooks), tiny.adapters.dropped) == (hooks, {})
