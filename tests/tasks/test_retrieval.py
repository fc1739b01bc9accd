"""Texts and images: what is read, the contrastive loss, recall by both directions, and a run that learns to find."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import madx
from madx.catalog.task import TaskSpec
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.methods.loading import LOADED_BY
from madx.scores.rows import read_rows
from madx.scores.score import Score
from madx.stages.entropy import EntropyMinimisation
from madx.stages.task_model import TaskModel
from madx.tasks import retrieval
from madx.tasks.batches import pad
from madx.tasks.data import with_images
from madx.tasks.examples import Example
from madx.tasks.kinds import kind_of

NOUNS = ("dog", "cat", "house", "sea")
VERBS = ("sees", "eats", "sleeps")
CAPTIONS = [(f"the {noun} {verb} {place}", f"{noun}-{verb}-{place}.jpg")
            for noun in NOUNS for verb in VERBS for place in ("near", "far")]  # fmt: skip


def vectors(width: int = 12) -> dict[str, np.ndarray]:
    """Of each image the sum of what its words look like, and noise."""
    rng = np.random.default_rng(0)
    looks = {word: rng.normal(size=width) for word in {word for text, _ in CAPTIONS for word in text.split()}}
    noisy = {name: sum((looks[word] for word in text.split()), rng.normal(size=width) * 0.1) for text, name in CAPTIONS}
    return {name: vector.astype(np.float32) for name, vector in noisy.items()}


@pytest.fixture
def photos(tmp_path: Path) -> TaskSpec:
    save_file(vectors(), tmp_path / "photos.safetensors")
    spec = TaskSpec(name="photos", kind="retrieval", metric="image-recall@1", images=("photos.safetensors",))
    return with_images(spec, tmp_path)


def table(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("".join(f"{text}\t{image}\n" for text, image in [("text", "label"), *rows]))
    return path


def test_captions_and_their_images_are_read(photos: TaskSpec, tmp_path: Path) -> None:
    reading = retrieval.read(table(tmp_path / "a.tsv", [*CAPTIONS, ("a dog", CAPTIONS[0][1])]), photos)
    assert reading.examples[0] == Example("0", *CAPTIONS[0])
    assert retrieval.contents(reading.examples).sizes == {"captions": 25, "images": 24}
    assert retrieval.texts(reading.examples[0]) == [CAPTIONS[0][0]]


def test_what_images_hold_names_the_task(photos: TaskSpec, tmp_path: Path) -> None:
    old, name = vectors(), CAPTIONS[3][1]
    first = retrieval.images_of(photos).some([name])
    save_file({**old, name: -old[name]}, tmp_path / "photos.safetensors")
    again = with_images(photos, tmp_path)
    assert again.images == photos.images
    assert again.image_digests != photos.image_digests
    assert np.allclose(first, -retrieval.images_of(again).some([name]))
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": np.ones((2, 12), np.float32)}, r"image 'x': has the shape \(2, 12\); a vector should be there"),
        ({"x": np.ones(11, np.float32)}, "image 'x': 11 numbers, those before have 12"),
        ({"x": np.zeros(12, np.float32)}, "image 'x': its numbers are not finite, or all zero"),
        ({"x": np.full(12, np.nan, np.float32)}, "image 'x': its numbers are not finite"),
        ({CAPTIONS[0][1]: np.ones(12, np.float32)}, "stands in another of the task's files too"),
    ],
)
def test_images_that_cannot_be_right(
    photos: TaskSpec, tmp_path: Path, changed: dict[str, np.ndarray], message: str
) -> None:
    save_file(changed, tmp_path / "more.safetensors")
    spec = with_images(photos.model_copy(update={"images": ("photos.safetensors", "more.safetensors")}), tmp_path)
    with pytest.raises(InputError, match=rf"more\.safetensors: .*{message}"):
        retrieval.images_of(spec)


def test_what_a_task_lacks_is_said(photos: TaskSpec, tmp_path: Path) -> None:
    file = table(tmp_path / "a.tsv", [CAPTIONS[0], ("a bird", "bird.jpg")])
    with pytest.raises(InputError, match=r"a\.tsv:3: image 'bird.jpg' is in none of the task's `images`: .*photos"):
        retrieval.read(file, photos)
    with pytest.raises(InputError, match="task 'photos': no images; `images` in the task's file, or --images, names"):
        retrieval.read(file, photos.model_copy(update={"images": ()}))
    with pytest.raises(InputError, match=r"nowhere\.safetensors: no such file"):
        with_images(photos.model_copy(update={"images": ("nowhere.safetensors",)}), tmp_path)
    (tmp_path / "photos.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(InputError, match=r"photos\.safetensors: "):
        retrieval.read(file, with_images(photos, tmp_path))
    with pytest.raises(InputError, match="key 'images': a classification task has none"):
        kind_of(photos.model_copy(update={"kind": "classification", "metric": "accuracy", "labels": ("a", "b")}))
    with pytest.raises(InputError, match="has no labels"):
        kind_of(photos.model_copy(update={"labels": ("a", "b")}))
    with pytest.raises(InputError, match="emea: photos tells a batch's texts from each other"):
        EntropyMinimisation().check(photos)


def test_recall_is_what_a_search_by_hand_finds(photos: TaskSpec) -> None:
    """Three images have a second caption; an image's recall asks for any of its own."""
    rng = np.random.default_rng(1)
    names = [name for _, name in CAPTIONS] + [name for _, name in CAPTIONS[:3]]
    order = rng.permutation(len(names))
    examples = [Example(str(i), "", names[n]) for i, n in enumerate(order)]
    images = retrieval.images_of(photos)
    texts = np.stack([images.vectors_NI[images.rows[e.gold]] for e in examples]) + rng.normal(size=(27, 12)) * 0.35
    texts = (texts / np.linalg.norm(texts, axis=1, keepdims=True)).astype(np.float32)
    features = [retrieval.Feature(((0,),), None, e.gold, i) for i, e in enumerate(examples)]
    # as they are computed: in another order than they are asked for
    predicted = retrieval.join(examples, features[::-1], list(texts[::-1]), photos)

    found = {}
    for metric in retrieval.metrics("caption-recall@5", (), "eng", True):
        counts = np.array([metric.counts(e.gold, p) for e, p in zip(examples, predicted, strict=True)])
        found[metric.name] = float(metric.value(counts.sum(0)))
    assert next(iter(found)) == "caption-recall@5"
    assert set(found) == set(retrieval.METRICS)
    gallery = sorted(set(names))
    for k in (1, 5, 10):
        hits = 0
        for text, example in zip(texts, examples, strict=True):
            near = sorted(gallery, key=lambda name: -float(text @ images.vectors_NI[images.rows[name]]))
            hits += example.gold in near[:k]
        assert found[f"image-recall@{k}"] == pytest.approx(100 * hits / 27)
        hits = 0
        for name in gallery:
            near = sorted(range(27), key=lambda i: -float(texts[i] @ images.vectors_NI[images.rows[name]]))
            hits += any(examples[i].gold == name for i in near[:k])
        assert found[f"caption-recall@{k}"] == pytest.approx(100 * hits / 24)
    assert 10 < found["image-recall@1"] < 90  # neither chance nor all: the numbers above could differ


def test_the_loss_is_symmetric_infonce_over_the_whole_batch(photos: TaskSpec, encoder: Encoder) -> None:
    rows = [*CAPTIONS[:3], ("sees the dog near the house and the sea", CAPTIONS[0][1])]
    examples = [Example(str(i), *row) for i, row in enumerate(rows)]
    torch.manual_seed(0)
    head = retrieval.head(photos, encoder.width)
    model = TaskModel(encoder, LOADED_BY["adapter"], photos, head, 32)
    features = model.features(examples)
    assert [feature.extra @ feature.extra for feature in features] == pytest.approx([1] * 4, abs=1e-6)
    many = list(model.parts(features * 300))  # more than is run at once elsewhere
    assert [len(part.features) for part in many] == [1200]

    (batch,) = model.parts(features)
    loss = retrieval.summed_loss(head, model.states(batch), batch)
    texts = []
    for feature in features:  # one at a time, without padding
        one = pad([feature], encoder.pad_id, encoder.device, encoder.has_types)
        states_TD = encoder.hidden(one.ids_BT, one.mask_BT, one.types_BT)[0]
        vector = head.linear(states_TD.mean(0))
        texts.append(vector / vector.norm())
    logits = torch.stack(texts) @ torch.tensor(np.stack([f.extra for f in features])).T / 0.07
    expected = torch.zeros(())
    for i in range(4):
        own = [j for j in range(4) if j == i or examples[j].gold != examples[i].gold]
        expected += torch.logsumexp(logits[i, own], 0) + torch.logsumexp(logits[own, i], 0) - 2 * logits[i, i]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in head.parameters())
    assert sum(map(retrieval.targets, features)) == 8


OVERRIDES = [  # of the tiny project's recipe
    'tasks=["photos"]', 'targets=["swe", "eng"]', 'methods=["madx", "task-only"]', "seeds=[1]",
    "task_adapter.epochs=40", "task_adapter.batch_size=12", "task_adapter.learning_rate=0.005",
]  # fmt: skip


@pytest.fixture
def run(project: Path) -> Path:
    """A run whose target's captions are Swedish; the source's test set is what it learnt."""
    (project / "photos").mkdir()
    save_file(vectors(), project / "photos" / "all.safetensors")
    table(project / "eng.tsv", CAPTIONS)
    swedish = {"the": "en", "dog": "hund", "cat": "katt", "sea": "havet", "sees": "ser", "near": "nära"}
    table(project / "swe.tsv", [(" ".join(swedish.get(w, w) for w in text.split()), i) for text, i in CAPTIONS])
    (project / "tasks" / "photos.toml").write_text(
        'kind = "retrieval"\nmetric = "image-recall@1"\nimages = ["photos/all.safetensors"]\n'
        '[data.eng]\ntrain = "eng.tsv"\ndev = "eng.tsv"\ntest = "eng.tsv"\n[data.swe]\ntest = "swe.tsv"\n'
    )
    madx.run("recipe.toml", overrides=OVERRIDES, device="cpu")
    return project / "results" / "tiny"


def test_a_run_finds_the_images_that_it_learnt(run: Path) -> None:
    scores = {(s.method, s.target, s.metric): s for s in read_rows(run / "scores.csv", Score)}
    assert {metric for _, _, metric in scores} == set(retrieval.METRICS)
    assert {s.metric for s in scores.values() if s.primary} == {"image-recall@1"}
    for method in ("madx", "task-only"):  # 24 images: 4.2 by chance
        assert scores[method, "eng", "image-recall@1"].value > 60
        assert scores[method, "eng", "caption-recall@1"].value > 60
        assert scores[method, "swe", "image-recall@10"].value <= scores[method, "eng", "image-recall@10"].value
    (line,) = [r for r in json.loads((run / "run.json").read_text())["read"] if r["language"] == "swe"]
    assert line["sizes"] == {"captions": 24, "images": 24}
    assert "by chance 1 of their number" in (run / "report.html").read_text()


def test_prediction_searches_images_that_are_named(run: Path, tmp_path: Path) -> None:
    """Those of the run give what was scored; others, and an adapter's folder alone, do as well."""
    every = madx.Predictor(run, method="madx", images=["photos/all.safetensors"], device="cpu")
    found = every.predict([text for text, _ in CAPTIONS], "eng")
    told = [row["prediction"] for row in found]
    right = sum(one["image"] == image for one, (_, image) in zip(told, CAPTIONS, strict=True))
    scores = {(s.method, s.target, s.metric): s.value for s in read_rows(run / "scores.csv", Score)}
    assert 100 * right / 24 == pytest.approx(scores["madx", "eng", "image-recall@1"])
    for one in told:
        similarities = [image["similarity"] for image in one["images"]]
        assert one["images"][0]["image"] == one["image"]
        assert len(similarities) == 10
        assert similarities == sorted(similarities, reverse=True)
        assert -1 <= similarities[-1] <= similarities[0] <= 1
        assert 1 / 24 < one["probability"] <= 1

    kept = dict(list(vectors().items())[:3])
    save_file(kept, tmp_path / "few.safetensors")
    few = madx.Predictor(
        next((run / "adapters").glob("task-photos-*")), images=[tmp_path / "few.safetensors"], device="cpu"
    )
    (one,) = few.predict(["the dog sees near"], "eng")
    assert {image["image"] for image in one["prediction"]["images"]} == set(kept)

    with pytest.raises(InputError, match="task 'photos': no images; .* or --images, names"):
        madx.Predictor(run, device="cpu").predict(["a dog"], "eng")
    save_file({"x": np.ones(5, np.float32)}, tmp_path / "five.safetensors")
    with pytest.raises(InputError, match=r"five\.safetensors: vectors of 5 numbers; the model's images had 12"):
        madx.Predictor(run, images=[tmp_path / "five.safetensors"], device="cpu").predict(["a dog"], "eng")
