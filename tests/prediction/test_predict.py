"""Predictions that people can use: every kind of task, format, and way in."""

import csv
import gc
import io
import json
import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import madx
from madx.cli import app
from madx.config import InputError
from madx.prediction.records import Format, Record, format_of
from madx.prediction.writers import default_format, write

TaskAdapter = Callable[[str], Path]


class Same(madx.Predictor):
    """Every word, or every row, gets the same answer: what is written is known."""

    def label(self, records, language):  # type: ignore[no-untyped-def]
        self.check(records, language)
        value = {"tagging": "B-PER", "parsing": (0, "root"), "classification": "b"}[self.chosen.task.kind]
        from madx.prediction.predictor import Labelled

        return [
            Labelled(r, [([value] * len(s.words), {"probabilities": [0.5] * len(s.words)}) for s in r.sentences]
                     if self.kind.OF_WORDS else [(value, {"probability": 0.5})] if not r.is_blank else [])
            for r in records
        ]  # fmt: skip


def written(
    predictor: madx.Predictor, path: Path, to: Format | None = None, pretokenized: bool = False, language: str = "swe"
) -> str:
    read_as = format_of(path)
    records = predictor.reader(pretokenized).read(path, read_as, said=False)
    task = predictor.chosen.task
    return "".join(write(predictor.label(records, language), task, to or default_format(read_as, task)))


@pytest.fixture
def same(task_adapter: TaskAdapter) -> Callable[[str], Same]:
    return lambda kind: Same(task_adapter(kind), device="cpu")


def file(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# ------------------------------------------------------------------------------------------ every kind, for real


@pytest.mark.parametrize("kind", ["tagging", "parsing", "classification", "multiple-choice", "question-answering"])
def test_every_kind_predicts_with_probabilities(task_adapter: TaskAdapter, kind: str) -> None:
    row = {
        "tagging": {"tokens": ["Anna", "ser"]}, "parsing": {"text": "the dog. The cat!"},
        "classification": {"text": "a dog"},
        "multiple-choice": {"premise": "x", "choice1": "wet", "choice2": "dry", "question": "cause"},
        "question-answering": {"question": "who?", "context": "  then Anna came home  "},
    }[kind]  # fmt: skip
    predictor = madx.Predictor(task_adapter(kind), device="cpu")
    first, again = predictor.predict([{"id": 7, **row}, {"id": 8, **row}], "swe")
    assert first["id"] == 7
    assert {k: first[k] for k in row} == row
    assert first["prediction"] == again["prediction"]
    told = first["prediction"]
    if kind in ("tagging", "parsing"):
        assert len(told["tokens"]) == len(told["probabilities"]) == len(told["offsets"])
        assert all(0 < p <= 1 for p in told["probabilities"])
    else:
        assert 0 < told["probability"] <= 1
    if kind == "parsing":
        assert told["tokens"] == ["the", "dog", ".", "The", "cat", "!"]
        assert told["sentences"] == [[0, 3], [3, 6]]
        assert [told["heads"][a:b].count(0) for a, b in told["sentences"]] == [1, 1]
    if kind in ("classification", "multiple-choice"):
        every = told["probabilities"].values() if kind == "classification" else told["probabilities"]
        assert sum(every) == pytest.approx(1, abs=1e-5)
    if kind == "question-answering":
        assert row["context"][told["start"] : told["end"]] == told["answer"] == told["answer"].strip()


def test_prediction_equals_evaluation(project: Path) -> None:
    """On the words of the test set; from the run's folder alone, moved and without its recipe."""
    results = madx.run("recipe.toml", overrides=['methods=["madx", "task-only", "full"]', "seeds=[1, 2]"], device="cpu")
    shutil.move("results", "elsewhere")
    (project / "recipe.toml").unlink()
    folder = project / "elsewhere" / "tiny"
    for method in ("madx", "task-only", "full"):
        predictor = madx.Predictor(folder, method=method, seed=2, device="cpu")
        rows = predictor.predict([{"tokens": ["hunden", "sover"]}, {"tokens": ["en", "katt", "äter"]}], "Swedish")
        wanted = madx.Results(folder).predictions("tags", method, "swe", 2)["predicted"].tolist()
        assert [row["prediction"]["labels"] for row in rows] == wanted
    assert results.folder == Path("results/tiny")

    models = json.loads((folder / "models.json").read_text())["models"]
    about = json.loads((folder / "models.json").read_text())
    about["names"]["swe"] = ["Our Swedish"]  # a person's own languages/swe.toml, which isn't at hand any more
    (folder / "models.json").write_text(json.dumps(about))
    assert madx.Predictor(folder, device="cpu").predict([{"tokens": ["hunden"]}], "our swedish")
    best = max(models, key=lambda model: model["dev"])
    predictor = madx.Predictor(folder, device="cpu")
    assert f"{best['method']}, seed {best['seed']}, dev {best['dev']:.1f}" in predictor.chosen.note
    assert predictor.chosen.note.endswith(": the best on the source's dev set")
    alone = madx.Predictor(folder, method="madx", device="cpu")
    assert alone.chosen.note.endswith(": as asked; of its seeds the best on the source's dev set")
    with pytest.raises(InputError, match="items: one text; a list of texts is wanted"):
        alone.predict("x", "swe")
    with pytest.raises(InputError) as refused:
        alone.predict(["x"], "fao")
    assert str(refused.value) == (
        "item 1: no model for 'fao'; known: eng, swe (with its adapter: --adapter fao=ADDRESS, "
        "adapters={'fao': ADDRESS}; by method task-only or full: any language)"
    )
    asked = madx.Predictor(folder, method="task-only", seed=2, device="cpu")
    assert asked.chosen.note.endswith(": as asked")
    assert asked.predict(["hunden sover"], "fao")[0]["prediction"]["labels"]  # it is so
    with pytest.raises(InputError, match="no method 'tlr'; known: full, madx, task-only$"):
        madx.Predictor(folder, method="tlr")
    for wrong, message in (({"method": "mad"}, "no method 'mad', did you mean 'madx'"), ({"seed": 9}, "seed 9: the"),
                           ({"task": "x"}, "no task 'x'")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            madx.Predictor(folder, **wrong)  # type: ignore[arg-type]


def test_languages_are_mixed_and_each_line_gets_its_own_adapter(project: Path) -> None:
    overrides = ['methods=["madx"]', "seeds=[1]", "language_adapter.learning_rate=0.1"]
    madx.run("recipe.toml", overrides=overrides, device="cpu")
    predictor = madx.Predictor("results/tiny", device="cpu")
    words = ["hunden", "ser", "havet"]
    rows = [{"tokens": words, "language": code} for code in ("swe", "eng", "swe", "Swedish")]
    told = [row["prediction"]["probabilities"] for row in predictor.predict(rows)]
    assert told[0] == told[2] == told[3] != told[1]
    assert told[1] == predictor.predict([{"tokens": words}], "eng")[0]["prediction"]["probabilities"]
    with pytest.raises(InputError, match="item 1: in which language"):
        predictor.predict([{"tokens": words}])


def test_a_task_adapter_alone_over_a_language_adapter_alone(project: Path) -> None:
    madx.run("recipe.toml", overrides=['methods=["madx"]', "seeds=[1]"], device="cpu")
    (task,) = Path("results/.store").glob("task-tags-*")
    (language,) = Path("results/.store").glob("language-swe-*")
    of_run = madx.Predictor("results/tiny", device="cpu").predict(["hunden ser"], "swe")
    alone = madx.Predictor(task, adapters={"swe": str(language)}, device="cpu").predict(["hunden ser"], "swe")
    assert alone == of_run
    assert "trained over the adapter of eng; without a language adapter" in madx.Predictor(task).chosen.note
    with pytest.raises(InputError, match="no head there"):
        madx.Predictor(language)


# -------------------------------------------------------------------------------------------------- formats


def test_running_text_becomes_a_word_a_line_and_blank_lines_stay(same: Callable[[str], Same], tmp_path: Path) -> None:
    path = file(tmp_path / "a.txt", "\ufeffAnna kom. Hon åt!\r\n\r\nLund\r\n")
    assert written(same("tagging"), path) == (
        "Anna\tB-PER\nkom\tB-PER\n.\tB-PER\n\nHon\tB-PER\nåt\tB-PER\n!\tB-PER\n\n\nLund\tB-PER\n\n"
    )
    assert written(same("tagging"), path, "text") == (
        "Anna/B-PER kom/B-PER ./B-PER Hon/B-PER åt/B-PER !/B-PER\n\nLund/B-PER\n"
    )
    assert written(same("tagging"), path, pretokenized=True).startswith("Anna\tB-PER\nkom.\tB-PER\nHon\t")


def test_one_blank_doesnt_change_the_reading(same: Callable[[str], Same], tmp_path: Path) -> None:
    chinese = file(tmp_path / "a.txt", "我今天很高兴。\n你 好\n")
    lines = written(same("tagging"), chinese, "jsonl").splitlines()
    assert len(lines) == 2
    assert "".join(json.loads(lines[0])["prediction"]["tokens"]) == "我今天很高兴。"
    assert json.loads(lines[0])["prediction"]["tokens"][-1] == "。"
    columns = file(tmp_path / "a.tsv", "New York\tx\nser\ty\n\nLund\tz\n")
    assert written(same("tagging"), columns) == "New York\tx\tB-PER\nser\ty\tB-PER\n\nLund\tz\tB-PER\n"


CONLLU = """# sent_id = a-1
# text = Anna ser'n.
1\tAnna\tanna\tPROPN\t_\tCase=Nom\t2\tnsubj\t_\tner=O|Gloss=Anna
2-3\tser'n\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
2\tser\tse\tVERB\t_\t_\t0\troot\t_\t_
3\t'n\than\tPRON\t_\t_\t2\tobj\t_\t_
3.1\tx\t_\t_\t_\t_\t_\t_\t_\t_
4\t.\t.\tPUNCT\t_\t_\t2\tpunct\t_\t_


# language = eng
1\tyes\t_\t_\t_\t_\t_\t_\t_\t_
"""


def test_conllu_keeps_its_lines_and_the_label_has_its_column(same: Callable[[str], Same], tmp_path: Path) -> None:
    path = file(tmp_path / "a.conllu", CONLLU)
    lines, before = written(same("tagging"), path).split("\n"), CONLLU.split("\n")
    changed = [i for i, (a, b) in enumerate(zip(lines, before, strict=True)) if a != b]
    assert changed == [2, 4, 5, 7, 11]
    assert lines[2].split("\t")[9] == "ner=O|Gloss=Anna|mine=B-PER"
    tree = written(same("parsing"), path).split("\n")
    assert tree[2] == "1\tAnna\tanna\tPROPN\t_\tCase=Nom\t0\troot\t_\tner=O|Gloss=Anna"
    assert tree[3] == before[3]
    topics = written(same("classification"), path).split("\n")
    assert topics[0] == topics[11] == "# mine = b"
    assert [line for line in topics if line != "# mine = b"] == before
    row = json.loads(written(same("tagging"), path, "jsonl").splitlines()[0])
    assert row["text"] == "Anna ser'n."
    assert [row["text"][a:b] for a, b in row["prediction"]["offsets"]] == ["Anna", "ser", "'n", "."]


def test_a_sentence_of_conllu_is_one_row_with_its_name_and_text(same: Callable[[str], Same], tmp_path: Path) -> None:
    """Words that are written as one have its place; comments alone and blank lines are no rows, and stay in CoNLL-U."""
    words = "1-2\tIm\n1\tIn\n2\tdem\n3\tWald\n4\t.\n\n\n1\tJa\n".replace("\n", "\t_" * 8 + "\n")
    content = f"# newdoc\n\n# sent_id = d-1\n# text = Im Wald.\n{words}\n".replace("\n" + "\t_" * 8, "\n")
    path = file(tmp_path / "a.conllu", content)
    first, last = map(json.loads, written(same("tagging"), path, "jsonl").splitlines())
    assert (first["sent_id"], first["text"], last["text"]) == ("d-1", "Im Wald.", "Ja")
    assert first["prediction"]["tokens"] == ["In", "dem", "Wald", "."]
    assert first["prediction"]["offsets"] == [[0, 2], [0, 2], [3, 7], [7, 8]]
    assert "sent_id" not in last
    topics = [json.loads(line) for line in written(same("classification"), path, "jsonl").splitlines()]
    assert [(row.get("sent_id"), row["text"]) for row in topics] == [("d-1", "Im Wald."), (None, "Ja")]
    table = written(same("classification"), path, "tsv").splitlines()
    assert table == ["sent_id\ttext\tprediction\tprobability", "d-1\tIm Wald.\tb\t0.500000", "\tJa\tb\t0.500000"]
    whole = written(same("classification"), path).replace("# mine = b\n", "")
    assert whole == content
    assert [line.split("\t")[:2] for line in written(same("tagging"), path).splitlines()] == [
        line.split("\t")[:2] for line in content.splitlines()
    ]
    broken = file(tmp_path / "b.conllu", content.replace("1-2\t", "1-999999\t"))
    assert json.loads(written(same("tagging"), broken, "jsonl").splitlines()[0])["text"] == "In dem Wald ."
    again = file(tmp_path / "a.jsonl", written(same("tagging"), path, "jsonl"))
    assert written(same("tagging"), again, "conllu").startswith("# sent_id = d-1\n# text = Im Wald.\n")


def test_the_output_names_its_own_option(task_adapter: TaskAdapter, tmp_path: Path) -> None:
    path = str(file(tmp_path / "a.txt", "Anna\n"))
    done = CliRunner().invoke(app, ["predict", str(task_adapter("tagging")), path, "--output", "th.xlsx"])
    assert isinstance(done.exception, InputError)
    assert str(done.exception) == "th.xlsx: its name doesn't say its format; say --to text, tsv, csv, conllu or jsonl"


def test_universal_tags_go_to_their_column(same: Callable[[str], Same], tmp_path: Path) -> None:
    predictor = same("tagging")
    task = predictor.chosen.task.model_copy(update={"labels": ("NOUN", "VERB")})
    predictor.chosen = predictor.chosen._replace(task=task)
    lines = written(predictor, file(tmp_path / "a.txt", "ja, nu\n"), "conllu").split("\n")
    assert lines[:2] == ["# text = ja, nu", "1\tja\t_\tB-PER\t_\t_\t_\t_\t_\tSpaceAfter=No"]


def test_json_lines_keep_their_keys_and_offsets_are_of_what_is_seen(tagger: madx.Predictor, tmp_path: Path) -> None:
    text = unicodedata.normalize("NFD", "Ása býr í Tórshavn")
    rows = [{"id": "x-1", "text": text, "more": [1, None]}, {"id": "x-2", "text": ""}]
    path = file(tmp_path / "a.jsonl", "\n\n".join(map(json.dumps, rows)) + "\n")
    out = written(tagger, path).split("\n")
    assert out[1] == '{"text": "", "prediction": null}'
    first, last = json.loads(out[0]), json.loads(out[2])
    assert (first["id"], first["text"], first["more"]) == ("x-1", text, [1, None])
    told = first["prediction"]
    assert [text[a:b] for a, b in told["offsets"]] == told["tokens"] == text.split()
    assert all(text[s["start"] : s["end"]] == s["text"] for s in told["spans"])
    assert last["prediction"] is None
    composed = tagger.predict([unicodedata.normalize("NFC", text)], "swe")[0]["prediction"]
    assert composed["labels"] == told["labels"]
    assert composed["probabilities"] == told["probabilities"]


def test_entities_become_spans(same: Callable[[str], Same]) -> None:
    (row,) = same("tagging").predict(["Anna, Lund"], "swe")
    assert [(s["start"], s["end"], s["text"], s["label"], s["probability"]) for s in row["prediction"]["spans"]] == [
        (0, 4, "Anna", "PER", 0.5), (4, 5, ",", "PER", 0.5), (6, 10, "Lund", "PER", 0.5)
    ]  # fmt: skip


def test_tables_keep_every_column(same: Callable[[str], Same], tmp_path: Path) -> None:
    path = file(tmp_path / "a.tsv", 'id\ttext\tlanguage\n1\t"a ""b""\tc"\tswe\n2\td\t\n')
    out = list(csv.reader(io.StringIO(written(same("classification"), path)), delimiter="\t"))
    assert out[0] == ["id", "text", "language", "prediction", "probability"]
    assert out[1:] == [["1", 'a "b"\tc', "swe", "b", "0.500000"], ["2", "d", "", "b", "0.500000"]]
    text = file(tmp_path / "a.txt", "one\n\ntwo\n")
    assert written(same("classification"), text) == "one\tb\n\ntwo\tb\n"


# --------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("kind", "name", "content", "message"),
    [
        ("tagging", "a.txt", '{"text": "x"}\n', r"a\.txt: this is JSON; name it \.jsonl"),
        ("tagging", "a.txt", "# sent_id = 1\n1\tx\n", r"a\.txt: this is CoNLL-U"),
        ("tagging", "a.txt", "en väg\n".encode("latin-1"), r"a\.txt:1: not UTF-8"),
        ("tagging", "a.jsonl", '{"txt": "x"}\n', r"a\.jsonl:1: neither 'text' nor 'tokens' there; there are: txt"),
        ("tagging", "a.jsonl", '{"tokens": ["x", ""]}\n', r"a\.jsonl:1: an empty word"),
        ("tagging", "a.jsonl", '{"text": "x"}\nx\n', r"a\.jsonl:2: not JSON"),
        ("tagging", "a.jsonl", '{"text": "x", "language": 1}\n', r"a\.jsonl:1: 'language' should be"),
        ("tagging", "a.conllu", "1\tx\t_\n", r"a\.conllu:1: 3 column\(s\); CoNLL-U has 10"),
        ("tagging", "a.doc", "x", r"a\.doc: its name doesn't say its format; say --format"),
        ("classification", "a.jsonl", '{"txt": "x"}\n', r"a\.jsonl:1: column 'text' is missing; there are: txt"),
        ("classification", "a.tsv", "id\tsentence\n1\tx\n", r"a\.tsv:2: column 'text' is missing"),
        ("question-answering", "a.txt", "x\n", r"a\.txt:1: .* text alone is too little; .* question, context"),
    ],
)
def test_a_wrong_file_is_one_line(
    task_adapter: TaskAdapter, tmp_path: Path, kind: str, name: str, content: str | bytes, message: str
) -> None:
    predictor = madx.Predictor(task_adapter(kind), device="cpu")
    with pytest.raises(InputError, match=message):
        written(predictor, file(tmp_path / name, content))


def test_a_folder_is_no_file(tagger: madx.Predictor, tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(InputError, match=r"a\.txt: Is a directory"):
        written(tagger, tmp_path / "a.txt")


# ------------------------------------------------------------------------------------------------ command line


def test_the_command(task_adapter: TaskAdapter, tmp_path: Path) -> None:
    path, adapter = file(tmp_path / "a.txt", "Anna ser\n"), str(task_adapter("tagging"))
    done = CliRunner().invoke(app, ["predict", adapter, str(path), "--output", str(tmp_path / "b.jsonl")])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "b.jsonl").read_text())["prediction"]["tokens"] == ["Anna", "ser"]
    run = [sys.executable, "-m", "madx", "predict", adapter]
    done2 = subprocess.run(run, input="Anna\n", capture_output=True, text=True)
    assert (done2.returncode, done2.stderr) == (
        2, "error: standard input has no name that says its format; say --format text, tsv, conllu or jsonl\n"
    )  # fmt: skip
    done3 = subprocess.run([*run, "--format", "text", "--to", "text", "--quiet"], input="\ufeffå\n\nö\n".encode(),
                           capture_output=True)  # fmt: skip
    assert [line.split("/")[0] for line in done3.stdout.decode().split("\n")] == ["å", "", "ö", ""], done3.stderr
    done4 = subprocess.run([*run, "--format", "text"], input="en väg\n".encode("latin-1"), capture_output=True)
    assert done4.returncode == 2
    assert done4.stderr.decode().splitlines()[-1].startswith("error: standard input:1: not UTF-8")


def test_a_blank_record_has_nothing_to_label() -> None:
    assert Record("a:1").is_blank


@pytest.mark.parametrize("kind", ["tagging", "classification"])
def test_a_note_says_where_the_encoder_cant_read_the_text(task_adapter: TaskAdapter, tmp_path: Path, kind: str) -> None:
    rows = [{"text": text, "language": code} for text, code in (("Anna ser", "swe"), ("ฉัน ฉัน", "tha"), ("ฉัน", "tha"))]
    path, adapter = file(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows))), str(task_adapter(kind))
    done = CliRunner().invoke(app, ["predict", adapter, str(path)])
    notes = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    assert len(notes) == 1, done.stderr
    assert re.fullmatch(r"note: tha: \d+ % of the tokens of this text are unknown to the encoder; .*", notes[0])
    unsaid = file(tmp_path / "b.txt", "ฉัน\n")
    assert re.search(
        r"^note: \d+ % of", CliRunner().invoke(app, ["predict", adapter, str(unsaid)]).stderr, re.MULTILINE
    )
    assert CliRunner().invoke(app, ["predict", adapter, str(path), "--quiet"]).stderr == ""


def test_a_note_says_where_text_was_divided_into_letters(task_adapter: TaskAdapter, tmp_path: Path) -> None:
    """Words of one's own aren't spoken of, nor a script with blanks."""
    adapter = str(task_adapter("tagging"))

    def notes(content: str, *options: str) -> list[str]:
        done = CliRunner().invoke(app, ["predict", adapter, str(file(tmp_path / "a.txt", content)), *options])
        assert done.exit_code == 0, done.output
        return [line for line in done.stderr.splitlines() if "into single letters" in line]

    (note,) = notes("我 妹 看 书\n")
    assert note.endswith("and say --pretokenized")
    assert (
        notes("我 妹 看 书\n", "--pretokenized") == notes("我\n妹\n", "--format", "tsv") == notes("Anna ser å\n") == []
    )


def test_a_mistyped_language_is_named_where_any_would_do(task_adapter: TaskAdapter, tmp_path: Path) -> None:
    path, adapter = file(tmp_path / "a.txt", "Anna ser\n"), str(task_adapter("tagging"))
    done = CliRunner().invoke(app, ["predict", adapter, str(path), "--language", "swedsh"])
    assert isinstance(done.exception, InputError)
    assert str(done.exception).startswith("--language swedsh: unknown language 'swedsh', did you mean 'swedish'?")
    assert CliRunner().invoke(app, ["predict", adapter, str(path), "--language", "qzz"]).exit_code == 0  # a new one's


def test_a_misspelt_folder_is_no_address_of_the_hub(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked of the network, whatever else was asked."""
    monkeypatch.setattr("madx.prediction.models.fetch", lambda address: pytest.fail(f"fetches {address}"))
    Path("results/nds-pos").mkdir(parents=True)
    Path("a.txt").write_text("x\n")
    for origin, meant in (("results/nds-poss", "; did you mean results/nds-pos?"), ("results/other", "")):
        done = CliRunner().invoke(app, ["predict", origin, "a.txt", "--method", "madx", "--adapter", "swe=me/mini"])
        assert isinstance(done.exception, InputError)  # status 2
        assert str(done.exception) == (
            f"no folder {origin} here{meant} (a Hub address is OWNER/REPOSITORY/NAME, or hub: and that)"
        )


# ---------------------------------------------------------------------------------------------------- in Python


def test_a_script_ends_without_a_word(task_adapter: TaskAdapter) -> None:
    """Nothing was closed, nor is it taken away."""
    script = f"""
import madx
predictor = madx.Predictor({str(task_adapter("tagging"))!r}, device="cpu")
print(len(predictor.predict(["Anna ser"])))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def test_with_and_without_a_name_it_closes_itself(task_adapter: TaskAdapter) -> None:
    with madx.Predictor(task_adapter("tagging"), device="cpu") as predictor:
        predictor.predict(["Anna ser"])
        encoder = predictor.encoder
        assert encoder.adapters.names
    assert not encoder.adapters.names
    predictor.predict(["Anna ser"])  # loads again
    assert encoder.adapters.names
    del predictor
    gc.collect()
    assert not encoder.adapters.names
