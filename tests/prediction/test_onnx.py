"""An exported graph, run by onnxruntime with the tokenizer's file alone, computes what torch does."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession
from tokenizers import Tokenizer

from madx.config import InputError
from madx.prediction.onnx import CLOSE, Exported, export_onnx
from madx.prediction.predictor import Predictor
from madx.stages.entropy import EntropyMinimisation, ProbabilityMean

TEXTS = ["Anna ser Lund", "the dog sleeps near the sea", "hunden"]


def logits(folder: Path, texts: list[str]) -> list[np.ndarray]:
    """No madx, no torch, no transformers."""
    tokenizer, session = Tokenizer.from_file(str(folder / "tokenizer.json")), InferenceSession(folder / "model.onnx")
    tokenizer.enable_padding(pad_id=0, pad_token="<pad>")
    encoded = tokenizer.encode_batch(texts)
    ids, mask = (np.array([getattr(e, name) for e in encoded]) for name in ("ids", "attention_mask"))
    (out,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
    return [out[i][mask[i] == 1] if out.ndim == 3 else out[i] for i in range(len(texts))]


@pytest.mark.parametrize("kind", ["tagging", "classification"])
def test_it_computes_what_torch_does(task_adapter: Callable[[str], Path], kind: str, tmp_path: Path) -> None:
    predictor = Predictor(task_adapter(kind), device="cpu")
    model = predictor.ready(None, "here")
    torch.manual_seed(0)
    for module in (*model.encoder.adapters.modules(), model.head):
        for parameter in module.parameters():
            parameter.data.normal_(std=0.3)
    made = export_onnx(predictor, None, tmp_path / "out")
    assert made == Exported(tmp_path / "out", (tmp_path / "out" / "model.onnx").stat().st_size, made.difference)
    assert made.difference < CLOSE
    theirs = logits(made.folder, TEXTS)
    for text, ours in zip(TEXTS, theirs, strict=True):
        ids = torch.tensor([model.encoder.tokenizer(text)["input_ids"]])
        with torch.no_grad(), model.encoder.evaluating():
            expected = model.head.eval().logits(model.encoder.hidden(ids))[0]  # type: ignore[operator]
        assert np.abs(expected.numpy() - ours).max() < CLOSE
    assert np.abs(theirs[0]).max() > 0.1
    about = json.loads((made.folder / "model.json").read_text())
    assert len(about["labels"]) == theirs[0].shape[-1]


def test_smaller_in_8_bits_and_with_dropped_layers(task_adapter: Callable[[str], Path], tmp_path: Path) -> None:
    predictor = Predictor(task_adapter("tagging"), device="cpu")
    for parameter in predictor.ready(None, "here").encoder.adapters.parameters():
        parameter.data.normal_(std=0.3)
    whole = export_onnx(predictor, None, tmp_path / "whole")
    small = export_onnx(predictor, None, tmp_path / "int8", int8=True)
    dropped = export_onnx(predictor, None, tmp_path / "dropped", drop=1)
    assert small.bytes < whole.bytes  # little of a tiny one is weights
    assert dropped.difference < CLOSE
    assert not np.allclose(logits(whole.folder, TEXTS)[0], logits(dropped.folder, TEXTS)[0], atol=1e-4)
    assert logits(small.folder, TEXTS)[1].shape == logits(whole.folder, TEXTS)[1].shape
    for drop, why in ((3, "has 2 layers"), (0, "not empty|something in it|already")):
        with pytest.raises(InputError, match=why):
            export_onnx(predictor, None, tmp_path / "whole", drop=drop)


def test_several_adapters_for_an_answer_are_refused(task_adapter: Callable[[str], Path], tmp_path: Path) -> None:
    predictor = Predictor(task_adapter("tagging"), device="cpu")
    for adapts in (EntropyMinimisation(), ProbabilityMean()):
        predictor.ready(None, "here").adapts = adapts
        with pytest.raises(InputError, match="runs several adapters for each answer, which can't be exported yet"):
            export_onnx(predictor, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_parser_is_refused(task_adapter: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'parsing' can't be exported yet"):
        export_onnx(Predictor(task_adapter("parsing"), device="cpu"), None, tmp_path / "out")
    assert not (tmp_path / "out").exists()
