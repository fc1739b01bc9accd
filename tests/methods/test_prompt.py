"""Prompt tuning: PEFT's numbers, packed and padded alike, nothing left behind, AdapterHub's folders."""

from pathlib import Path
from typing import Any

import pytest
import torch

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.encoders.prompts import PromptChange
from madx.formats.adapterhub import CONFIG
from madx.formats.anything import load_anything
from madx.methods.prompt import PromptTuning
from madx.stages.session import Session
from madx.store import Store

IDS = torch.tensor([[1, 50, 60, 70, 80, 90, 2], [1, 90, 100, 110, 2, 0, 0]])
MASK = (IDS != 0).long()
METHOD = PromptTuning(length=3)


def test_in_every_family_packed_or_padded_saved_and_undone(encoder: Encoder, tmp_path: Path) -> None:
    read = MASK.nonzero(as_tuple=True)
    plain = encoder.hidden(IDS, MASK)
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in encoder.base.modules()]
    session = Session(Store(tmp_path / "store"), torch.device("cpu"))
    with METHOD.borrowed(encoder):
        parameters = METHOD.attach(encoder, "task pos", 1, session)
        assert sum(p.numel() for p in parameters.values()) == METHOD.count(encoder)
        changed = encoder.hidden(IDS, MASK)
        assert changed.shape == plain.shape
        changed.square().mean().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters.values())
        assert not torch.allclose(changed[read], plain[read], atol=1e-3)
        assert torch.allclose(encoder.hidden(IDS, MASK, read=read), changed[read], atol=1e-5)
        few = (torch.tensor([0, 1, 1]), torch.tensor([6, 0, 4]))
        assert torch.allclose(encoder.hidden(IDS, MASK, read=few), changed[few], atol=1e-5)
        assert torch.allclose(encoder.hidden(IDS[1:, :5]), changed[1:, :5], atol=1e-5)  # padding changes nothing
        METHOD.save(tmp_path / "out", encoder, "task pos", save_as="pos")
        encoder.changes["behind the first"] = PromptChange(encoder, 2, after_first=True)
        encoder.activate("behind the first")
        behind = encoder.hidden(IDS, MASK)
        assert not torch.allclose(behind[read], plain[read], atol=1e-3)
        assert torch.allclose(encoder.hidden(IDS, MASK, read=read), behind[read], atol=1e-5)
    assert torch.equal(encoder.hidden(IDS, MASK), plain)
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in encoder.base.modules()] == hooks
    with encoder.lent():
        encoder.activate(load_anything(tmp_path / "out", encoder))
        assert torch.allclose(encoder.hidden(IDS, MASK), changed, atol=1e-6)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.parametrize("family", ["encoder_of_bert", "tiny"])
def test_the_same_numbers_as_pefts(request: pytest.FixtureRequest, family: str) -> None:
    """PEFT's vectors go through the embeddings' norm, and shift absolute positions, which are zero here."""
    peft = pytest.importorskip("peft")
    encoder: Encoder = request.getfixturevalue(family)
    base: Any = encoder.base
    if family == "encoder_of_bert":
        base.embeddings.position_embeddings.weight.data.zero_()
    config = peft.PromptTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=3)
    theirs_model = peft.get_peft_model(base, config).eval()
    with torch.no_grad():
        prompts = torch.randn(1, 3, encoder.width)
        theirs_model.prompt_encoder["default"].embedding.weight.copy_(prompts[0])
        theirs = theirs_model(input_ids=IDS, attention_mask=MASK).last_hidden_state[:, 3:]
        change = PromptChange(encoder, 3)
        change.vectors.copy_(base.embeddings(inputs_embeds=prompts)[0])
        encoder.changes["pos"] = change
        encoder.activate("pos")
        read = MASK.nonzero(as_tuple=True)
        assert torch.allclose(encoder.hidden(IDS, MASK)[read], theirs[read], atol=1e-5)
        assert torch.allclose(encoder.hidden(IDS, MASK, read=read), theirs[read], atol=1e-5)


def test_behind_a_language_adapter_whose_invertible_part_leaves_the_prompt_alone(tiny: Encoder) -> None:
    language = tiny.add("swe", BottleneckSpec(invertible=InvertibleSpec()))
    seen: list[torch.Tensor] = []
    assert language.invertible is not None
    language.invertible.register_forward_hook(lambda _, args, out: seen.append(out))
    tiny.changes["task pos"] = change = PromptChange(tiny, 3, after_first=True)
    entering: list[torch.Tensor] = []
    handle = tiny.layers.all[0].register_forward_pre_hook(lambda _, args: entering.append(args[0]))
    tiny.activate("swe", "task pos")
    tiny.hidden(IDS[:1])
    handle.remove()
    assert torch.equal(entering[0][0, 1:4], change.vectors)
    assert torch.equal(entering[0][0, [0, 4, 5, 6, 7, 8, 9]], seen[0][0, [0, 4, 5, 6, 7, 8, 9]])


def test_folders_that_madx_cannot_compute_are_refused(tiny: Encoder, tmp_path: Path) -> None:
    session = Session(Store(tmp_path / "store"), torch.device("cpu"))
    METHOD.attach(tiny, "pos", 1, session)
    METHOD.save(tmp_path / "out", tiny, "pos", save_as="pos")
    good = (tmp_path / "out" / CONFIG).read_text()
    length = '"prompt_length": 3'
    for old, new, said in (('"prefix"', '"middle"', "combine"), (length, '"prompt_length": 4', "4 vectors"),
                           (length, '"prompt_length": -1', "can't be -1")):  # fmt: skip
        (tmp_path / "out" / CONFIG).write_text(good.replace(old, new))
        with pytest.raises(InputError, match=said):
            load_anything(tmp_path / "out", tiny)
