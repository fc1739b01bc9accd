"""A task's model with a language's adapter as one ONNX graph: for phones and browsers, without torch and without madx.

Inputs: input_ids and attention_mask, (batch, tokens), both of any size; output: logits, as the task's head gives them.
The tokenizer's file lies beside, and model.json says what the labels are.
"""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from madx.adapters.heads import Head
from madx.config import InputError, RunError
from madx.encoders.encoder import Encoder
from madx.prediction.predictor import Predictor
from madx.stages.task_model import in_encoder
from madx.writing import new_folder, write_json

MODEL, ABOUT = "model.onnx", "model.json"
CLOSE = 1e-4  # of logits, to torch's
OPSET = 18


class Exported(NamedTuple):
    """`difference`: of logits to torch's, the largest, on batches of other sizes than the one it was traced with."""

    folder: Path
    bytes: int
    difference: float


class _Logits(nn.Module):
    def __init__(self, encoder: Encoder, head: Head) -> None:
        super().__init__()
        self.base, self.head = encoder.base, head
        self.pooler = encoder.pooler if head.spec.use_pooler else None

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states: Tensor = self.base(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return self.head.logits(states, self.pooler)


def export_onnx(predictor: Predictor, language: str | None, to: Path, *, int8: bool = False, drop: int = 0) -> Exported:
    """Write the graph, checked against torch with onnxruntime, into `to`, a new folder.

    `int8`: weights in 8 bits, whose difference is told and not checked. `drop`: so many of the lowest layers go without
    the task's adapter. Raises InputError, or RunError where the graph computes something else.
    """
    for library in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(library) is None:
            raise InputError(f"export needs {library}; pip install 'madx-adapters[onnx]'")
    model = predictor.ready(language, "--language")
    encoder, head, task = model.encoder, model.head, predictor.chosen.task
    if not isinstance(head, Head) or predictor.chosen.trains in ("prefix", "prompt"):
        what = f"a {predictor.chosen.trains}" if isinstance(head, Head) else f"a head of the kind '{task.kind}'"
        raise InputError(f"{task.name}: {what} can't be exported yet")
    if model.adapts is not None:
        raise InputError(f"{predictor.chosen.note}: runs several adapters for each answer, which can't be exported yet")
    if not 0 <= drop <= encoder.num_layers:
        raise InputError(f"--drop {drop}: the encoder has {encoder.num_layers} layers")
    encoder.adapters.dropped[in_encoder(task.name)] = drop
    config: Any = encoder.model.config
    attention, config._attn_implementation = config._attn_implementation, "eager"
    try:
        with new_folder(to) as new, torch.no_grad(), encoder.evaluating():
            logits = _Logits(encoder, head).eval()
            _trace(logits, new / MODEL, encoder.device)
            if int8:
                _to_int8(new / MODEL)
            difference = _difference(logits, new / MODEL, encoder)
            if difference > CLOSE and not int8:
                raise RunError(f"{to}: the graph's logits differ from torch's by {difference:.2g}; nothing was written")
            encoder.tokenizer.save_pretrained(new)
            about = {"task": task.name, "kind": task.kind, "labels": list(task.labels), "language": language,
                     "encoder": encoder.ref.name, "max_length": predictor.chosen.max_length, "int8": int8,
                     "dropped": drop, "difference_to_torch": difference}  # fmt: skip
            if head.spec.null_threshold is not None:
                about["null_threshold"] = head.spec.null_threshold
            write_json(new / ABOUT, about)
    finally:
        config._attn_implementation = attention
        encoder.adapters.dropped.clear()
    return Exported(to, sum(file.stat().st_size for file in to.glob("model.onnx*")), difference)


def _trace(logits: nn.Module, path: Path, device: torch.device) -> None:
    ids = torch.full((2, 7), 5, device=device)
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            logits, (ids, torch.ones_like(ids)), path, dynamo=True, opset_version=OPSET, verbose=False,
            input_names=["input_ids", "attention_mask"], output_names=["logits"],
            dynamic_shapes={"input_ids": sizes, "attention_mask": sizes}, external_data=False,
        )  # fmt: skip


def _to_int8(path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = path.with_suffix(".fp32")
    path.rename(whole)
    quantize_dynamic(whole, path, weight_type=QuantType.QInt8)
    whole.unlink()


def _difference(logits: nn.Module, path: Path, encoder: Encoder) -> float:
    """On padded batches, of three sizes."""
    from onnxruntime import InferenceSession

    session, largest = InferenceSession(path), 0.0
    for size, (batch, tokens) in enumerate(((1, 4), (3, 11), (5, 32))):
        torch.manual_seed(size)
        ids = torch.randint(5, encoder.vocabulary, (batch, tokens), device=encoder.device)
        mask = torch.ones_like(ids)
        mask[-1, tokens // 2 :] = 0
        ids[mask == 0] = encoder.pad_id
        (theirs,) = session.run(None, {"input_ids": ids.cpu().numpy(), "attention_mask": mask.cpu().numpy()})
        real = mask.bool().cpu() if theirs.ndim == 3 else slice(None)
        apart = (torch.from_numpy(theirs) - logits(ids, mask).cpu())[real].abs().max()
        largest = max(largest, float(apart))
    return largest
