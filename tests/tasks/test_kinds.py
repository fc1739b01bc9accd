"""The four kinds of task: what they read, that nothing is lost, and what they decode."""

import itertools
import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from madx.catalog.task import TaskSpec
from madx.config import InputError
from madx.encoders.encoder import Encoder
from madx.tasks import classification, multiple_choice, question_answering, tagging
from madx.tasks.batches import Tokens, by_length, pad, training_order
from madx.tasks.examples import Example, Feature
from madx.tasks.kinds import KINDS

POS = TaskSpec(name="pos", kind="tagging", metric="accuracy", labels=("NOUN", "VERB"))
NER = TaskSpec(name="ner", kind="tagging", metric="span-f1", labels=("O", "B-PER", "I-PER"), outside=("DATE",))
NLI = TaskSpec(
    name="nli", kind="classification", metric="accuracy", labels=("yes", "no"),
    columns={"text": "premise", "pair": "hypothesis", "label": "label"},
)  # fmt: skip
COPA = TaskSpec(name="copa", kind="multiple-choice", metric="accuracy")
QA = TaskSpec(name="qa", kind="question-answering", metric="qa-f1")


def test_tagging_reads_columns_and_conllu(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("hund\tNOUN\nsover\tVERB\n\n\nkat\tNOUN\n")
    assert [e.inputs for e in tagging.read(tmp_path / "a.tsv", POS).examples] == [["hund", "sover"], ["kat"]]
    (tmp_path / "a.conllu").write_text(
        "# text = hund\n1-2\tx\t_\t_\n1\thund\thund\tNOUN\t_\n1.1\te\t_\t_\n2\tsover\tsove\tVERB\t_\n\n"
    )
    assert tagging.read(tmp_path / "a.conllu", POS).examples[0].gold == ["NOUN", "VERB"]


def test_a_form_may_hold_a_space(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("Hà Nội\tNOUN\n")
    assert tagging.read(tmp_path / "a.tsv", POS).examples[0].inputs == ["Hà Nội"]


def test_entity_types_outside_the_task_are_read_as_o(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("Ann\tB-PER\ni dag\tB-DATE\n")
    assert tagging.read(tmp_path / "a.tsv", NER).examples[0].gold == ["B-PER", "O"]


@pytest.mark.parametrize(
    ("name", "content", "spec", "message"),
    [
        ("a.tsv", "hund\tNOUN\nkat\tNOUM\n", POS, r"a\.tsv:2: label 'NOUM' .* did you mean 'NOUN'"),
        ("a.tsv", "hund\tNOUN\nkat\n", POS, r"a\.tsv:2: 1 column"),
        ("a.tsv", "premise\tlabel\nx\tyes\n", NLI, r"a\.tsv:1: no column 'hypothesis'"),
        ("a.tsv", "premise\thypothesis\tlabel\nx\ty\n", NLI, r"a\.tsv:2: column 'label' is missing"),
        ("a.tsv", "premise\thypothesis\tlabel\nx\ty\tmaybe\n", NLI, r"a\.tsv:2: label 'maybe' is not"),
        ("a.jsonl", "{}\n", COPA, r"a\.jsonl:1: column 'premise' is missing"),
        ("a.jsonl", "{\n", COPA, r"a\.jsonl:1: not JSON"),
        (
            "a.jsonl", json.dumps({"question": "q", "context": "abc", "answers": [{"text": "b", "answer_start": 0}]}),
            QA, r"a\.jsonl:1: the answer 'b' is not at position 0",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_named_with_its_line(
    tmp_path: Path, name: str, content: str, spec: TaskSpec, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        KINDS[spec.kind].read(tmp_path / name, spec)


def test_no_word_is_lost_however_long_the_sentence(tiny: Encoder) -> None:
    words = ["hund", "\u200b", "kattekilling" * 9, "ox"] * 40
    example = Example("0", words, ["NOUN"] * len(words))
    tokens = Tokens(tiny.tokenizer, 24)
    features = tagging.features([example], tokens, POS)
    assert len(features) > 1
    assert max(f.length for f in features) <= 24
    assert sum(len(f.target) for f in features) == len(words)
    decoded = [[0] * len(f.extra[0]) for f in features]
    assert tagging.join([example], features[::-1], decoded[::-1], POS) == [["NOUN"] * len(words)]


def test_a_prediction_does_not_depend_on_the_batch(tiny: Encoder) -> None:
    torch.manual_seed(0)
    head = tagging.head(POS, tiny.width).eval()
    examples = [Example(str(i), ["en", "hund", "sover"] * (1 + i % 5), None) for i in range(23)]
    tokens = Tokens(tiny.tokenizer, 64)
    features = tagging.features(examples, tokens, POS)
    results = []
    for budget, packed in itertools.product((1, 40, 10_000), (True, False)):
        tiny.can_pack = packed
        decoded: list[Any] = [None] * len(features)
        for chosen in by_length(features, budget, packed):
            batch = pad([features[i] for i in chosen], 0, tiny.device, False)
            with torch.no_grad():
                states = tiny.hidden(batch.ids_BT, batch.mask_BT, read=tagging.read_positions(batch))
            for i, value in zip(chosen, tagging.decode(head, states, batch), strict=True):
                decoded[i] = value
        results.append(decoded)
    assert all(result == results[0] for result in results)
    assert None not in results[0]


def test_a_long_sentence_does_not_pad_the_short_ones() -> None:
    features = [Feature((tuple(range(n)),), None, None, 0) for n in (60, *[5] * 20)]
    assert list(by_length(features, 640, packed=False)) == [[0], list(range(1, 21))]


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 40), max_size=9), choices=st.integers(1, 3), tokens=st.sampled_from([8, 60, 200])
)
def test_no_other_cut_computes_less(lengths: list[int], choices: int, tokens: int) -> None:
    """Every cut of the sorted features, tried one by one."""
    features = [Feature((tuple(range(n)),) * choices, None, None, 0) for n in lengths]
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])

    def cost(batches: list[list[int]]) -> float:
        padded = [choices * len(b) * lengths[b[0]] for b in batches]
        fits = all(p <= tokens or len(b) == 1 for p, b in zip(padded, batches, strict=True))
        return sum(padded) + len(batches) * tokens / 16 if fits else math.inf

    found = list(by_length(features, tokens, packed=False))
    assert [i for batch in found for i in batch] == order
    every = []
    for cuts in itertools.product((False, True), repeat=max(0, len(order) - 1)):
        edges = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), len(order)]
        every.append(cost([order[a:b] for a, b in itertools.pairwise(edges) if a < b]))
    assert cost(found) == pytest.approx(min(every))


def test_many_short_sentences_are_cut_at_once() -> None:
    """A GPU takes thousands of them in a batch; a look at every pair took a minute."""
    features = [Feature((tuple(range(5 + i % 40)),), None, None, 0) for i in range(10_000)]
    began = time.perf_counter()
    assert sum(map(len, by_length(features, 32_768, packed=False))) == 10_000
    assert time.perf_counter() - began < 5


def test_without_padding_batches_are_of_equal_size() -> None:
    features = [Feature((tuple(range(n)),), None, None, 0) for n in (60, *[5] * 20)]
    assert list(by_length(features, 640, packed=True)) == [list(range(21))]
    halves = list(by_length(features, 80, packed=True))
    assert [sum(features[i].length for i in half) for half in halves] == [80, 80]
    assert sorted(i for half in by_length(features, 7, packed=True) for i in half) == list(range(21))


def test_batches_hold_every_example_once() -> None:
    features = [Feature((tuple(range(3 + i % 17)),), None, 0, i) for i in range(1003)]
    batches = training_order(features, 16, (1, 2))
    assert sorted(i for b in batches for i in b) == list(range(1003))
    assert batches == training_order(features, 16, (1, 2))
    assert batches != training_order(features, 16, (1, 3))


def test_multiple_choice_reads_both_alternatives(tiny: Encoder, tmp_path: Path) -> None:
    row = {"premise": "It rained.", "choice1": "a", "choice2": "b", "question": "effect", "label": 1}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    examples = multiple_choice.read(tmp_path / "a.jsonl", COPA).examples
    features = multiple_choice.features(examples, Tokens(tiny.tokenizer, 32), COPA)
    batch = pad(features, 0, tiny.device, False)
    assert batch.ids_BT.shape[0] == 2
    head = multiple_choice.head(COPA, tiny.width)
    states = tiny.hidden(batch.ids_BT, batch.mask_BT, read=multiple_choice.read_positions(batch))
    loss = multiple_choice.summed_loss(head, states, batch)
    assert loss.shape == ()


def test_an_answer_is_found_again_in_windows_of_a_long_context(tiny: Encoder) -> None:
    context = " ".join(f"ord{i}" for i in range(80)) + " svaret er Thorshavn i dag"
    start = context.index("Thorshavn")
    example = Example("0", ("Hvor?", context), [{"text": "Thorshavn", "answer_start": start}])
    features = question_answering.features([example], Tokens(tiny.tokenizer, 48), QA)
    assert len(features) > 2
    inside = [f for f in features if f.target != (0, 0)]
    assert inside
    for feature in inside:
        first, last = feature.target
        assert context[feature.extra[first][0] : feature.extra[last][1]].strip() == "Thorshavn"

    class Oracle(torch.nn.Module):
        """Logits that point at the target."""

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            logits = torch.zeros(*hidden.shape[:2], 2)
            for row, feature in enumerate(features):
                if feature.target != (0, 0):
                    logits[row, feature.target[0], 0] = logits[row, feature.target[1], 1] = 9.0
            return logits

    batch = pad(features, 0, tiny.device, False)
    hidden = torch.zeros(*batch.ids_BT.shape, tiny.width)
    decoded = question_answering.decode(Oracle(), hidden, batch)
    assert question_answering.join([example], features, decoded, QA) == ["Thorshavn"]


def test_classification_of_pairs(tiny: Encoder, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("premise\thypothesis\tlabel\nDet regner\tDet er vådt\tyes\n")
    examples = classification.read(tmp_path / "a.tsv", NLI).examples
    feature = classification.features(examples, Tokens(tiny.tokenizer, 32), NLI)[0]
    assert feature.target == 0
    assert classification.join(examples, [feature], [1], NLI) == ["no"]
