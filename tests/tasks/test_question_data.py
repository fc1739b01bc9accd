"""Questions: SQuAD's files in their shapes, windows that fit, and answers that are what the person sees."""

import json
import math
import unicodedata
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tiny_encoders import SHARED

from madx.catalog.find import Catalogue
from madx.catalog.task import TaskSpec
from madx.config import InputError
from madx.corpora.characters import Characters
from madx.encoders.encoder import Encoder, load_encoder
from madx.encoders.reference import resolve_encoder
from madx.tasks import question_answering
from madx.tasks.batches import Tokens
from madx.tasks.data import labelled_data
from madx.tasks.examples import Example

QA = TaskSpec(name="qa", kind="question-answering", metric="f1-squad")
CONTEXT = "Ann Lund bor i Tórshavn i dag."
ROW = {"id": "7", "question": "Hvor?", "context": CONTEXT, "answers": [{"text": "Tórshavn", "answer_start": 15}]}
COLUMNS = {**ROW, "answers": {"text": ["Tórshavn"], "answer_start": [15]}}
ARTICLE = {
    "title": "x",
    "paragraphs": [{"context": CONTEXT, "qas": [{k: ROW[k] for k in ("id", "question", "answers")}]}],
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("xquad.jsonl", json.dumps(ROW)),
        ("hub.jsonl", json.dumps(COLUMNS)),
        ("squad.json", json.dumps({"version": "1.1", "data": [ARTICLE]})),
        ("squad.json", json.dumps({"version": "1.1", "data": [ARTICLE]}, indent=2)),
        ("articles.jsonl", json.dumps(ARTICLE)),
        ("afriqa.json", json.dumps([{**ROW, "lang": "bem", "split": "test"}])),
    ],
)
def test_questions_in_every_shape(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert question_answering.read(tmp_path / name, QA).examples == [
        Example("7", ("Hvor?", CONTEXT), [{"text": "Tórshavn", "answer_start": 15}])
    ]


def test_questions_in_parquet(tmp_path: Path) -> None:
    pd.DataFrame([COLUMNS]).to_parquet(tmp_path / "a.parquet")
    (example,) = question_answering.read(tmp_path / "a.parquet", QA).examples
    assert question_answering.gold(example) == ["Tórshavn"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context": None}, "column 'context' is null"),
        ({"question": 5}, r"column 'question' holds a number \(5\)"),
        ({"answers": {"text": ["a", "b"], "answer_start": [0]}}, "lists 'text' and 'answer_start' of one length"),
        ({"answers": [{"text": "Tórshavn", "answer_start": "15"}]}, "'answer_start' should be a number"),
        ({"answers": [{"text": "Tórshavn", "answer_start": -1}]}, "'answer_start' should be a number"),
        ({"answers": [{"text": "Tórshavn", "answer_start": 14}]}, "the answer 'Tórshavn' is not at position 14"),
        ({"answers": [{"text": None, "answer_start": 14}]}, "column 'text' is null"),
        ({"answers": ["Tórshavn"]}, "should be a list of objects"),
        ({"answers": []}, "no question has an answer: are they unpublished"),
        ({"answers": [], "is_impossible": False}, "'is_impossible' is false, but there is no answer"),
        ({"answers": [{"text": "", "answer_start": 0}, ROW["answers"][0]]}, "an answer without text"),
        ({"answers": [{"text": "  ", "answer_start": 3}]}, "an answer without text"),
    ],
)
def test_what_cannot_be_a_question_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({**ROW, **change}))
    with pytest.raises(InputError, match=rf"a\.jsonl(:1)?: .*{message}"):
        question_answering.read(tmp_path / "a.jsonl", QA)


@pytest.mark.parametrize("words", [1, 40, 60, 200])
@pytest.mark.parametrize("max_length", [24, 64, 128])
def test_a_window_holds_any_question_and_every_context_is_read_whole(
    tiny: Encoder, words: int, max_length: int
) -> None:
    context = " ".join(f"ord{i}" for i in range(150))
    answer = {"text": "ord149", "answer_start": len(context) - 6}
    example = Example("0", (" ".join(["hvorfor"] * words), context), [answer])
    features = question_answering.features([example], Tokens(tiny.tokenizer, max_length), QA)
    assert max(f.length for f in features) <= max_length
    seen = {i for f in features for o in f.extra if o for i in range(*o)}
    assert all(i in seen or context[i] == " " for i in range(len(context)))
    assert any(f.target != (0, 0) for f in features)


def predicted(tokens: Tokens, example: Example) -> list[str]:
    """What a model that knew the targets would answer."""
    features = question_answering.features([example], tokens, QA)
    spans = [(f.target, f.extra) for f in features]
    decoded = [
        (float(t != (0, 0)), *((extra[t[0]][0], extra[t[1]][1]) if t != (0, 0) else (0, 0)), -math.inf)
        for t, extra in spans
    ]
    return question_answering.join([example], features, decoded, QA)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(
    "answer", ["Tórshavn", "Tórshavn ", " Tórshavn", "ọ̀rọ̀", "ê̄", "हिन्दी", "né", "한국", "<s>", "x<mask>y"]
)
def test_an_answer_is_found_again_in_any_form(tiny: Encoder, form: str, answer: str) -> None:
    """Ending in a blank, in a combining mark, holding what looks like a special token: it is what the person sees."""
    context = unicodedata.normalize(form, f"déjà vu ọ̀ <mask> {answer.strip()} é i dag <s> né")
    text = unicodedata.normalize(form, answer)
    start = context.index(text.strip()) - (len(text) - len(text.lstrip()))
    assert context[start : start + len(text)] == text
    example = Example("0", ("Hvor?", context), [{"text": text, "answer_start": start}])
    assert predicted(Tokens(tiny.tokenizer, 64), example) == [text.strip()]


def test_what_looks_like_a_special_token_is_text(tiny: Encoder) -> None:
    tokens = Tokens(tiny.tokenizer, 64)
    special = set(tiny.tokenizer.all_special_ids) - {tiny.tokenizer.unk_token_id}
    for text in ("<s>", "a <mask> b", "</s><s>", "<<s>s>", "<s><s>", "＜s＞", "ord\u00ad\u200b<pad>"):
        (ids,) = tokens.words([text])
        assert ids
        assert not special & set(ids), text
        assert not special & set(tokens.text(text, text)[0][1:-1]) - {tokens.sep, tokens.cls}


def test_composed_and_decomposed_are_one(tiny: Encoder) -> None:
    tokens = Tokens(tiny.tokenizer, 64)
    assert tokens.words(["Tórshavn"]) == tokens.words(["To\u0301rshavn"])
    assert tokens.text("Tórshavn né") == tokens.text(unicodedata.normalize("NFD", "Tórshavn né"))


@pytest.mark.parametrize(
    "text", ["", "plain", "e\u0301a\u0323\u0302x", "\u0301a", "한국말 각", "<s>e\u0301<s>", "क\u093c\u0301"]
)
def test_places_say_where_each_character_stood(tiny: Encoder, text: str) -> None:
    as_read = Characters(tiny.tokenizer)
    for form in ("NFC", "NFD"):
        given = unicodedata.normalize(form, text)
        read, places = as_read.with_places(given)
        assert read == as_read(given)
        assert len(places) == len(read)
        for character, (start, end) in zip(read, places, strict=True):
            assert start == end or character in unicodedata.normalize("NFC", given[start:end])
        covered = {i for start, end in places for i in range(start, end)}
        assert covered == set(range(len(given)))


@pytest.mark.skipif(not SHARED.is_dir(), reason="LOUD: ../shared/data is absent; XQuAD and AfriQA are not read")
@pytest.mark.parametrize(
    ("task", "code"), [("qa", "ell"), ("qa", "rus"), ("qa", "hin"), ("qa", "arb"), ("qa-afriqa", "ibo")]
)
def test_real_questions_that_were_too_long_for_their_window_fit(task: str, code: str) -> None:
    """At 128 tokens of `mini` each of these ended in an exception, after training."""
    found = labelled_data(Catalogue().task(task), code, "test", SHARED / "data")
    assert found is not None
    tokens = Tokens(load_encoder(resolve_encoder("mini"), torch.device("cpu")).tokenizer, 128)
    asked = sorted(found.load(), key=lambda e: -len(e.inputs[0]))[:40]
    features = question_answering.features(asked, tokens, QA)
    assert max(f.length for f in features) <= 128
    with_target = {f.example for f in features if f.target != (0, 0)}
    assert len(with_target) >= 38  # an answer may be longer than what is left of a window
