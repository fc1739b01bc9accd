"""Retrieval between texts and images: the text side of a dual encoder, whose image side is frozen and ran once.

s(t, v) = <P(mean of t's states), v> of unit vectors, P a linear projection, v what the user's image encoder made of an
image. Stage two learns by symmetric InfoNCE within a batch, with a learnt temperature, on the source's captions
(Radford et al. 2021, CLIP, arXiv 2103.00020). Scored as in Karpathy and Fei-Fei 2015 (arXiv 1412.2306): recall@k over
all images and all captions of a test set; k of N by chance. B texts of a batch, M their tokens, D width, I the width of
the images' vectors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from madx.catalog.task import HubData, TaskSpec
from madx.config import InputError
from madx.corpora.lines import suffix_of
from madx.corpora.tables import Row, label_of, read_rows, require, text_of
from madx.tasks.entropy import mean_entropy
from madx.tasks.examples import Contents, Example, Feature, Reading, hub_rows
from madx.tasks.images import Images, images_of
from madx.tasks.metrics import Metric, share
from madx.tasks.projection import load_head as load_head
from madx.tasks.projection import new_head
from madx.tasks.projection import save_head as save_head

if TYPE_CHECKING:
    from torch import Tensor, nn

    from madx.tasks.batches import Batch, Tokens

TOP = (1, 5, 10)
IMAGE, CAPTION = "image-recall", "caption-recall"  # which of the two is found
METRICS = tuple(f"{what}@{k}" for what in (IMAGE, CAPTION) for k in TOP)
COLUMNS = ("image",)
OF_CLASSES = False  # an answer is a rank among all images
OF_WORDS = False
OF_IMAGES = True
CALIBRATION = None
OTHERS_OF_IMAGE = -1e4  # the logit of another caption's copy of the own image, which is no wrong answer


def check(spec: TaskSpec) -> None:
    if spec.labels:
        raise ValueError("a retrieval task has no labels; its images are named in the column `label`")


# ----------------------------------------------------------------------------------------------------- reading


def read(path: Path, spec: TaskSpec) -> Reading:
    """A table of captions and their images' names. Several captions may have one image."""
    names = spec.columns
    rows = read_rows(path, (names.text, names.label))
    return Reading(_examples(rows, names.text, names.label, spec), f"table {suffix_of(path)}")


def read_hub(hub: HubData, split: str, spec: TaskSpec) -> Reading:
    names = hub.columns or spec.columns
    return Reading(_examples(hub_rows(hub, split)[1], names.text, names.label, spec), "Hub")


def _examples(rows: Iterable[tuple[str, Row]], text: str, image: str, spec: TaskSpec) -> list[Example]:
    known, found = images_of(spec).rows, []
    for number, (where, row) in enumerate(rows):
        require(row, (text, image), where)
        name = label_of(row, image, where)
        if name not in known:
            raise InputError(
                f"{where}: image '{name[:80]}' is in none of the task's `images`: {', '.join(spec.images)}"
            )
        found.append(Example(str(number), text_of(row, text, where), name))
    return found


def contents(examples: Sequence[Example]) -> Contents:
    return Contents({"captions": len(examples), "images": len({e.gold for e in examples})}, Counter())


def plain_columns(spec: TaskSpec) -> tuple[str, ...]:
    return (spec.columns.text,)


def plain(row: Row, spec: TaskSpec, where: str) -> str:
    images_of(spec)  # that there are any
    require(row, plain_columns(spec), where)
    return text_of(row, spec.columns.text, where)


def fields(predicted: dict[str, Any]) -> list[tuple[str]]:
    return [(predicted["images"][0],)]


# --------------------------------------------------------------------------------------------------- computing


def features(examples: Sequence[Example], tokens: Tokens, spec: TaskSpec) -> list[Feature]:
    """`target`: the image's name; `extra`: its unit vector."""
    images, found = images_of(spec), []
    for number, example in enumerate(examples):
        ids, types = tokens.text(example.inputs)
        vector = None if example.gold is None else images.vectors_NI[images.rows[example.gold]]
        found.append(Feature((ids,), (types,), example.gold, number, vector))
    return found


def targets(feature: Feature) -> int:
    """Its image among the batch's, and itself among the batch's captions."""
    return 2


def classes(feature: Feature) -> Iterable[Hashable]:
    """What is chosen among hangs on the batch."""
    return ()


def head(spec: TaskSpec, width: int) -> nn.Module:
    return new_head(width, images_of(spec).vectors_NI.shape[1])


def read_positions(batch: Batch) -> tuple[Tensor, Tensor]:
    """Every token, text by text."""
    import torch

    lengths = [feature.length for feature in batch.features]
    rows = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    columns = torch.cat([torch.arange(length) for length in lengths])
    return rows.to(batch.ids_BT.device), columns.to(batch.ids_BT.device)


def _texts(head: nn.Module, states_MD: Tensor, batch: Batch) -> Tensor:
    """Unit vectors, (B, I)."""
    import torch

    lengths_B = torch.tensor([feature.length for feature in batch.features], device=states_MD.device)
    rows_M = torch.repeat_interleave(torch.arange(len(lengths_B), device=states_MD.device), lengths_B)
    sums_BD = states_MD.new_zeros(len(lengths_B), states_MD.shape[1]).index_add(0, rows_M, states_MD)
    out_BI: Tensor = head(sums_BD / lengths_B[:, None])
    return out_BI


def decisions(head: nn.Module, states_MD: Tensor, batch: Batch) -> list[Tensor]:
    """Of each text among the batch's images, and of each image among its texts, (B, B) each."""
    import torch

    images_BI = torch.from_numpy(np.stack([feature.extra for feature in batch.features])).to(states_MD.device)
    logits_BB = head.scale() * (_texts(head, states_MD, batch) @ images_BI.T)  # type: ignore[operator]
    names_B = np.array([feature.target for feature in batch.features])
    same_BB = (names_B[:, None] == names_B) & ~np.eye(len(names_B), dtype=bool)
    logits_BB = logits_BB.masked_fill(torch.from_numpy(same_BB).to(states_MD.device), OTHERS_OF_IMAGE)
    return [logits_BB, logits_BB.T]


def summed_loss(head: nn.Module, states_MD: Tensor, batch: Batch) -> Tensor:
    """Cross-entropies of both directions (InfoNCE)."""
    import torch

    own_B = torch.arange(len(batch.features), device=states_MD.device)
    both = [
        torch.nn.functional.cross_entropy(logits_BB, own_B, reduction="sum")
        for logits_BB in decisions(head, states_MD, batch)
    ]
    return torch.stack(both).sum()


def decode(head: nn.Module, states_MD: Tensor, batch: Batch) -> list[np.ndarray]:
    """Unit vectors (I) of the texts."""
    return list(_texts(head, states_MD, batch).detach().cpu().numpy())


def entropy(head: nn.Module, states_MD: Tensor, batch: Batch) -> Tensor:
    """Of texts among the batch's images."""
    return mean_entropy(decisions(head, states_MD, batch)[0])


def confidence(head: nn.Module, states_MD: Tensor, batch: Batch) -> list[float]:
    """One over the temperature."""
    return [float(head.scale())] * len(batch.features)  # type: ignore[operator]


def _similarities(examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any], spec: TaskSpec,
) -> tuple[list[str], np.ndarray]:  # fmt: skip
    """The images that are searched, N, and each example's similarity to them, (E, N).

    Those of the examples; all of the task's where examples are only asked about.
    """
    images: Images = images_of(spec)
    names = list(dict.fromkeys(e.gold for e in examples if e.gold is not None)) or list(images.names)
    width = images.vectors_NI.shape[1]
    texts_EI = np.zeros((len(examples), width), np.float32)
    for feature, vector in zip(features, decoded, strict=True):
        if len(vector) != width:
            files = ", ".join(spec.images)
            raise InputError(f"{files}: vectors of {width} numbers; the model's images had {len(vector)}")
        texts_EI[feature.example] = vector
    return names, texts_EI @ images.some(names).T


def join(
    examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any], spec: TaskSpec
) -> list[dict[str, Any]]:
    """`images`: the nearest, first to last. `caption_rank`: from 0, among all captions, of the nearest one to this
    caption's image that is its own; where several captions have an image, it stands at the first of them.
    """
    names, similar_EN = _similarities(examples, features, decoded, spec)
    top_EK = np.argsort(-similar_EN, axis=1, kind="stable")[:, : max(TOP)]
    found: list[dict[str, Any]] = [{"images": [names[n] for n in row], "caption_rank": None} for row in top_EK]
    captions: dict[str, list[int]] = {}
    for number, example in enumerate(examples):
        if example.gold is not None:
            captions.setdefault(example.gold, []).append(number)
    for column, name in enumerate(names if captions else ()):
        order = np.argsort(-similar_EN[:, column], kind="stable")
        found[captions[name][0]]["caption_rank"] = int(np.isin(order, captions[name]).argmax())
    return found


def explain(
    examples: Sequence[Example], features: Sequence[Feature], decoded: Sequence[Any], confidence: Sequence[Any],
    spec: TaskSpec,
) -> list[dict[str, Any]]:  # fmt: skip
    """`images`: the nearest and their similarities (cosines); `probability`: of the nearest one among all."""
    names, similar_EN = _similarities(examples, features, decoded, spec)
    found = []
    for row_N, scale in zip(similar_EN, confidence, strict=True):
        logits_N = scale * (row_N - row_N.max())
        top = np.argsort(-row_N, kind="stable")[: max(TOP)]
        found.append({
            "probability": float(1 / np.exp(logits_N).sum()),
            "images": [{"image": names[n], "similarity": round(float(row_N[n]), 6)} for n in top],
        })  # fmt: skip
    return found


# ----------------------------------------------------------------------------------------------------- scoring


def texts(example: Example) -> list[str]:
    return [example.inputs]


def gold(example: Example) -> str:
    return example.gold  # type: ignore[no-any-return]


def labels_of(gold: str, predicted: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Images are no labels."""
    return ()


def metrics(
    primary: str, labels: Sequence[str], language: str, has_spaces: bool, gold: Sequence[Any] = ()
) -> list[Metric]:
    found = [_recall(what, k) for what in (IMAGE, CAPTION) for k in TOP]
    return sorted(found, key=lambda metric: metric.name != primary)


def _recall(what: str, k: int) -> Metric:
    def of_image(gold: str, predicted: dict[str, Any]) -> list[float]:
        return [float(gold in predicted["images"][:k]), 1.0]

    def of_caption(gold: str, predicted: dict[str, Any]) -> list[float]:
        rank = predicted["caption_rank"]
        return [0.0, 0.0] if rank is None else [float(rank < k), 1.0]

    return share(f"{what}@{k}", of_image if what == IMAGE else of_caption)
