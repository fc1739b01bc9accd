"""composable-sft's files: read and written as its loader defines them, on the command line; refused in one line."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForMaskedLM

from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.formats.composable_sft import DIFF
from madx.formats.tensors import load_tensors
from madx.methods.loading import LOADED_BY, stored_in
from madx.methods.sparse import FILE, from_published, to_published
from tests.formats.test_convert import convert

IDS = torch.tensor([[1, 50, 60, 70, 80, 90, 2]])
MATRIX, BIAS = "encoder.layer.0.attention.self.query.weight", "encoder.layer.1.output.dense.bias"


def encoding(delta: Tensor) -> dict[str, Any]:
    """An entry after the other, the first axis fastest; the first step is one of numpy's numbers, as in their files."""
    found = []
    for place in (delta != 0).nonzero().tolist():
        index, step = 0, 1
        for i, length in zip(place, delta.shape, strict=True):
            index, step = index + i * step, step * length
        found.append((index, delta[tuple(place)]))
    found.sort(key=lambda one: one[0])
    indices = np.array([index for index, _ in found], dtype=np.int64)
    steps = [indices[0], *(indices[1:] - indices[:-1]).tolist()]
    return {"size": delta.shape, "index_steps": steps, "values": torch.stack([value for _, value in found])}


def applied(path: Path, model: torch.nn.Module) -> None:
    """What their loader adds to a model, entry by entry."""
    for name, diff in torch.load(path, weights_only=True)["diffs"].items():
        weight = model.get_parameter(name)
        assert weight.shape == diff["size"]
        index = 0
        for step, value in zip(diff["index_steps"], diff["values"], strict=True):
            index += step
            rest, place = index, []
            for length in weight.shape:
                place.append(rest % length)
                rest //= length
            weight.data[tuple(place)] += value


@pytest.fixture
def deltas(encoder_of_bert: Encoder) -> dict[str, Tensor]:
    """Sparse, of a matrix that isn't square and of a vector."""
    generator, made = torch.Generator().manual_seed(0), {}
    for name in ("encoder.layer.1.intermediate.dense.weight", MATRIX, BIAS):
        shape = encoder_of_bert.base.get_parameter(name).shape
        made[name] = torch.randn(shape, generator=generator) * (torch.rand(shape, generator=generator) < 0.2)
    return made


def save(folder: Path, deltas: dict[str, Tensor], prefix: str = "bert", **more: Any) -> Path:
    folder.mkdir(exist_ok=True)
    diffs = {f"{prefix}.{name}": encoding(delta) for name, delta in deltas.items()}
    torch.save({"diffs": diffs, "abs": {"cls.predictions.bias": torch.ones(3)}} | more, folder / DIFF)
    return folder


def test_what_is_read_computes_what_their_loader_does(
    encoder_of_bert: Encoder, deltas: dict[str, Tensor], tmp_path: Path
) -> None:
    folder = save(tmp_path / "theirs", deltas)
    convert("import", folder, tmp_path / "ours", Path(encoder_of_bert.ref.path))
    assert stored_in(tmp_path / "ours") == "change"
    LOADED_BY["change"].load(tmp_path / "ours", encoder_of_bert, "swe")
    encoder_of_bert.activate("swe")
    for name, delta in deltas.items():
        before = AutoModelForMaskedLM.from_pretrained(encoder_of_bert.ref.path).base_model.get_parameter(name)
        assert torch.equal(encoder_of_bert.base.get_parameter(name), before + delta), name

    convert("export", tmp_path / "ours", tmp_path / "again", Path(encoder_of_bert.ref.path))
    model = AutoModelForMaskedLM.from_pretrained(encoder_of_bert.ref.path).eval()
    applied(tmp_path / "again" / DIFF, model)
    assert torch.allclose(model.base_model(IDS).last_hidden_state, encoder_of_bert.hidden(IDS), atol=1e-6)


def test_written_and_read_it_is_the_same(encoder_of_bert: Encoder, deltas: dict[str, Tensor], tmp_path: Path) -> None:
    for name in ("ours", "theirs", "again"):
        (tmp_path / name).mkdir()
    from_published(save(tmp_path / "first", deltas), tmp_path / "ours", encoder_of_bert)
    to_published(tmp_path / "ours", tmp_path / "theirs", encoder_of_bert)
    from_published(tmp_path / "theirs", tmp_path / "again", encoder_of_bert)
    ours, again = load_tensors(tmp_path / "ours" / FILE), load_tensors(tmp_path / "again" / FILE)
    assert ours.keys() == again.keys()
    assert all(torch.equal(tensor, again[key]) for key, tensor in ours.items())


def test_files_that_an_older_numpy_wrote_are_read(
    encoder_of_bert: Encoder, deltas: dict[str, Tensor], tmp_path: Path
) -> None:
    """Its numbers had another home: numpy.core, not numpy._core."""
    folder = save(tmp_path / "theirs", deltas)
    with zipfile.ZipFile(folder / DIFF) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / DIFF, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(name, content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    assert b"numpy.core.multiarray" in (folder / DIFF).read_bytes()
    (tmp_path / "ours").mkdir()
    from_published(folder, tmp_path / "ours", encoder_of_bert)
    assert len(load_tensors(tmp_path / "ours" / FILE)) == 6


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("1 + 1",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"diffs": {}}, "it has no 'diffs'; older layouts aren't read"),
        ({"abs": {"classifier.weight": torch.ones(2)}}, r"a task's change with its head \('classifier.weight'\)"),
        ({"diffs": {"roberta." + BIAS: {}}}, "'roberta.*is no weight of this encoder; give the one"),
        ({"diffs": {"bert." + BIAS: {}}}, "has no list of index_steps"),
        (
            {"diffs": {"bert." + BIAS: encoding(torch.ones(7))}},
            r"is torch.Size\(\[7\]\), and this encoder's is \(16,\)",
        ),
        ({"diffs": {"bert." + BIAS: encoding(torch.ones(16)) | {"values": torch.ones(3)}}}, "aren't as many"),
        ({"diffs": {"bert." + BIAS: encoding(torch.ones(16)) | {"index_steps": [1] * 16}}}, "places leave the weight"),
        ({"diffs": {"bert." + BIAS: encoding(torch.ones(16)) | {"index_steps": [0] * 16}}}, "places leave the weight"),
        ({"diffs": {"bert." + BIAS: encoding(torch.ones(16)) | {"index_steps": ["x"]}}}, "are no whole numbers"),
        ({"diffs": {"bert." + BIAS: encoding(torch.full((16,), torch.nan))}}, "no finite number"),
        ({"diffs": Evil()}, "refused, it holds more than weights"),
    ],
)
def test_what_does_not_fit_is_refused(
    encoder_of_bert: Encoder, deltas: dict[str, Tensor], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    (tmp_path / "ours").mkdir()
    with pytest.raises(InputError, match=said):
        from_published(save(tmp_path / "theirs", deltas, **change), tmp_path / "ours", encoder_of_bert)
    assert not any((tmp_path / "ours").iterdir())
