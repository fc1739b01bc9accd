"""Kept states of lower layers are those that a batch would have had."""

from pathlib import Path

import torch

from madx.encoders.encoder import Encoder
from madx.stages.lower_states import LowerStates
from madx.tasks.batches import pad
from madx.tasks.examples import Feature


def test_every_sequence_gets_its_own_states_back(encoder: Encoder, tmp_path: Path) -> None:
    sequences = [(1, 50, 60, 2), (1, 70, 80, 90, 100, 2), (1, 50, 2), (1, 50, 60, 2)]
    features = [Feature((ids,), ((0,) * len(ids),), None, i) for i, ids in enumerate(sequences)]
    kept = LowerStates(encoder, features, 1, tmp_path / "lower.f32")
    assert (tmp_path / "lower.f32").stat().st_size == 4 * encoder.width * (4 + 6 + 3)  # an equal sequence only once
    batch = pad(features[:3], 0, torch.device("cpu"), encoder.has_types)
    wanted = encoder.lower_states(1, batch.ids_BT, batch.mask_BT, batch.types_BT)
    found = kept.of(batch)
    assert found.layers == 1
    assert batch.mask_BT is not None
    assert torch.allclose(found.states_BTD[batch.mask_BT], wanted.states_BTD[batch.mask_BT], atol=1e-5)
    assert not found.states_BTD[~batch.mask_BT].any()
    kept.drop()
    assert list(tmp_path.iterdir()) == []
