"""Questions without an answer: read in SQuAD 2.0's shapes, scored as its script does, answered above a threshold."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from test_metrics import answers, squad_normal, token_f1, value

import madx
from madx.adapters.heads import Head, HeadSpec
from madx.catalog.task import TaskSpec
from madx.encoders.encoder import Encoder
from madx.formats.heads import load_head, save_head
from madx.tasks import question_answering
from madx.tasks.examples import Example, Feature, Said
from madx.tasks.spans import CALIBRATION, Decoded, Odds, answers_of, best_threshold

QA = TaskSpec(name="qa", kind="question-answering", metric="f1-squad")
CONTEXT = "Ann Lund bor i Tórshavn i dag."
GIVEN = {"id": "1", "question": "Hvor?", "answers": [{"text": "Tórshavn", "answer_start": 15}]}
NONE = {"id": "2", "question": "Hvornår kom hun?", "answers": []}
PLAUSIBLE = {**NONE, "is_impossible": True, "plausible_answers": [{"text": "i dag", "answer_start": 24}]}


def rows(*questions: dict[str, Any]) -> str:
    return "\n".join(json.dumps({**question, "context": CONTEXT}) for question in questions)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dev-v2.0.json", json.dumps({"version": "v2.0", "data": [{"title": "x", "paragraphs": [
            {"context": CONTEXT, "qas": [{**GIVEN, "is_impossible": False}, PLAUSIBLE]}]}]})),
        ("hub.jsonl", rows({**GIVEN, "answers": {"text": ["Tórshavn"], "answer_start": [15]}},
                           {**NONE, "answers": {"text": [], "answer_start": []}})),
        ("rows.jsonl", rows(GIVEN, NONE)),
        ("null.jsonl", rows(GIVEN, {**NONE, "is_impossible": True, "answers": None})),
        ("empty.jsonl", rows(GIVEN, {**NONE, "answers": [{"text": "", "answer_start": -1}]})),
    ],
)  # fmt: skip
def test_a_question_without_an_answer_in_every_shape(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    examples = question_answering.read(tmp_path / name, QA).examples
    assert [question_answering.gold(example) for example in examples] == [["Tórshavn"], []]
    assert question_answering.contents(examples).sizes == {"questions": 2, "contexts": 1, "without an answer": 1}


def test_it_is_read_from_parquet(tmp_path: Path) -> None:
    table = pd.DataFrame([{**q, "context": CONTEXT, "answers": {"text": a, "answer_start": s}}
                          for q, a, s in ((GIVEN, ["Tórshavn"], [15]), (NONE, [], []))])  # fmt: skip
    table.to_parquet(tmp_path / "a.parquet")
    examples = question_answering.read(tmp_path / "a.parquet", QA).examples
    assert [question_answering.gold(example) for example in examples] == [["Tórshavn"], []]


# ------------------------------------------------------------------- SQuAD 2.0's script, written down once more


def raw_scores(gold: list[str], predicted: str) -> tuple[int, float]:
    """Exact and F1 of one question."""
    wanted = [text for text in gold if squad_normal(text)] or [""]

    def f1(text: str) -> float:
        theirs, ours = squad_normal(text).split(), squad_normal(predicted).split()
        return float(int(theirs == ours)) if not theirs or not ours else token_f1(ours, theirs)

    return max(int(squad_normal(t) == squad_normal(predicted)) for t in wanted), max(map(f1, wanted))


def official_best(predicted: list[str], scores: list[float], na: list[float], has_answer: list[bool]) -> float:
    """The best F1 of all thresholds, in percent (find_best_thresh)."""
    score = float(has_answer.count(False))
    best = score
    for i in sorted(range(len(na)), key=lambda i: na[i]):
        score += scores[i] if has_answer[i] else -float(bool(predicted[i]))
        best = max(best, score)
    return 100 * best / len(scores)


def test_scores_are_squad_2s_scripts_on_a_thousand_files() -> None:
    rng = random.Random(8)
    for _ in range(1000):
        made = [answers(rng) for _ in range(4)]
        gold = [([] if rng.random() < 0.4 else texts) for texts, _ in made[1:]] + [[]]
        predicted = ["" if rng.random() < 0.3 else text for _, text in made]
        metrics = {m.name: m for m in question_answering.metrics("f1-squad", (), "tha", False, gold)}
        want = [raw_scores(g, p) for g, p in zip(gold, predicted, strict=True)]
        has = [f1 for g, (_, f1) in zip(gold, want, strict=True) if g]
        none = [f1 for g, (_, f1) in zip(gold, want, strict=True) if not g]
        assert value(metrics["em"], gold, predicted) == pytest.approx(25 * sum(exact for exact, _ in want))
        assert value(metrics["f1-squad"], gold, predicted) == pytest.approx(25 * sum(f1 for _, f1 in want))
        assert value(metrics["f1-has-answer"], gold, predicted) == pytest.approx(100 * sum(has) / max(1, len(has)))
        assert value(metrics["f1-no-answer"], gold, predicted) == pytest.approx(100 * sum(none) / len(none))


def test_where_every_question_has_an_answer_squad_1s_script_counts() -> None:
    names = [metric.name for metric in question_answering.metrics("em", (), "eng", True, [["the"], ["cat"]])]
    assert names == ["em", "f1-squad", "f1-mlqa", "qa-f1"]
    f1 = question_answering.metrics("f1-squad", (), "eng", True, [["the"]])[0]
    assert value(f1, [["the"]], ["the"]) == 0.0  # as its script has it; SQuAD 2.0's has 100


def test_the_threshold_is_the_scripts_best_on_a_thousand_dev_sets() -> None:
    rng = random.Random(9)
    context = "cat dog the red fox"
    words = context.split()
    for _ in range(1000):
        examples, decoded = [], []
        for number in range(rng.randint(1, 8)):
            first = context.index(rng.choice(words))
            gold = [] if rng.random() < 0.5 else [{"text": rng.choice(words), "answer_start": 0}]
            examples.append(Example(str(number), ("?", context), gold))
            decoded.append(Decoded(rng.random(), first, first + 3, rng.random()))
        if not any(not example.gold for example in examples):
            continue
        head = Head(HeadSpec(head_type="question_answering"), 8)
        features = [Feature(((0,),), None, None, number) for number in range(len(examples))]
        assert CALIBRATION.choose(head, [Said(examples, features, decoded)]) == []
        threshold = head.spec.null_threshold
        assert threshold is not None
        after = [one._replace(least=one.least - threshold) for one in decoded]
        predicted = question_answering.join(examples, features, after, QA)
        golds = [question_answering.gold(example) for example in examples]
        f1 = question_answering.metrics("f1-squad", (), "eng", True, golds)[0]
        spans = [context[one.first : one.last] for one in decoded]
        # the script takes an article for an answer when it looks for the threshold, and for none when it scores
        said = [span if squad_normal(span) else "" for span in spans]
        scores = [raw_scores(g, p)[1] - raw_scores(g, "")[1] for g, p in zip(golds, spans, strict=True)]
        silent = sum(raw_scores(g, "")[1] for g in golds if g)
        want = official_best(said, scores, [one.least - one.score for one in decoded], [bool(g) for g in golds])
        assert value(f1, golds, predicted) == pytest.approx(want + 100 * silent / len(golds))


def test_equal_odds_are_not_parted() -> None:
    assert best_threshold([Odds(1.0, 1.0), Odds(1.0, -1.0), Odds(2.0, -1.0)]) < 1.0
    assert 1.0 < best_threshold([Odds(1.0, 1.0), Odds(1.0, 0.5), Odds(2.0, -1.0)]) < 2.0
    assert best_threshold([Odds(0.5, 1.0)]) > 0.5


def test_a_window_that_sees_an_answer_is_enough() -> None:
    """Other windows of the same context see none, and are right."""
    features = [Feature(((0,),), None, None, 0)] * 2
    example = Example("0", ("?", "red fox"), None)
    windows = [Decoded(0.1, 0, 3, 9.0), Decoded(2.0, 4, 7, 1.0)]
    assert question_answering.join([example], features, windows, QA) == ["fox"]
    assert question_answering.join([example], features, [windows[0], windows[1]._replace(least=2.5)], QA) == [""]
    (told,) = question_answering.explain([example], features, windows, [0.2, 2.1], QA)
    assert told["probability"] == pytest.approx(math.exp(2.0) / (math.exp(0.2) + math.exp(2.1) + math.exp(1.0)))
    ((_, none),) = answers_of([example], features[:1], windows[:1])
    assert (none.first, none.last) == (0, 0)


# ------------------------------------------------------------------------------------------------ in the pipeline


def test_the_threshold_is_kept_with_the_head_where_the_peer_does_not_mind(tiny: Encoder, tmp_path: Path) -> None:
    for threshold in (None, -1.5):
        spec = HeadSpec(head_type="question_answering", null_threshold=threshold)
        save_head(tmp_path / "h", tiny, Head(spec, tiny.width), "qa")
        about = json.loads((tmp_path / "h" / "head_config.json").read_text())
        assert about.get("null_threshold") == threshold
        assert "null_threshold" not in about["config"]
        assert load_head(tmp_path / "h", tiny)[1].spec.null_threshold == threshold


def trained(project: Path, encoder: str, train: str, dev: str) -> Path:
    (project / "train.jsonl").write_text(train)
    (project / "dev.jsonl").write_text(dev)
    (project / "tasks" / "asked.toml").write_text(
        'kind = "question-answering"\nmetric = "f1-squad"\n[data.eng]\ntrain = "train.jsonl"\ndev = "dev.jsonl"\n'
    )
    return madx.train_task(
        "asked", encoder, method="task-only", data=project, catalog=[project], results=project / "results",
        device="cpu", task_adapter={"epochs": 2, "batch_size": 4, "learning_rate": 0.01},
    )  # fmt: skip


def test_what_is_trained_answers_as_its_dev_score_says(project: Path, encoder_folder: Callable[[str], Path]) -> None:
    """In prediction too: the threshold is kept with the head."""
    questions = [GIVEN, *(NONE for _ in range(7))]
    folder = trained(project, str(encoder_folder("modernbert")), rows(*questions), rows(*questions))
    dev = json.loads((folder / "madx.json").read_text())["dev"]
    asked = [{"question": q["question"], "context": CONTEXT} for q in questions]
    with madx.Predictor(folder, device="cpu") as predictor:
        told = predictor.predict(asked, "eng")
    predicted = [row["prediction"]["answer"] for row in told]
    gold: list[list[str]] = [["Tórshavn"], *([] for _ in range(7))]
    f1 = question_answering.metrics("f1-squad", (), "eng", True, gold)[0]
    assert value(f1, gold, predicted) == pytest.approx(max(one["dev"] for one in dev))
    assert predicted[1:] == [""] * 7
    assert all(0 < row["prediction"]["probability"] <= 1 for row in told)


def test_a_dev_set_without_such_questions_leaves_the_threshold_at_nought(
    project: Path, encoder_folder: Callable[[str], Path]
) -> None:
    encoder = str(encoder_folder("modernbert"))
    folder = trained(project, encoder, rows(GIVEN, NONE), rows(GIVEN))
    assert json.loads((folder / "head_config.json").read_text())["null_threshold"] == 0.0
    done = json.loads((folder / "done.json").read_text())
    assert any("the threshold of no answer is 0" in warning for warning in done["result"]["warnings"])
    without = trained(project, encoder, rows(GIVEN, GIVEN), rows(GIVEN, NONE))
    assert "null_threshold" not in json.loads((without / "head_config.json").read_text())
