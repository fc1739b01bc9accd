"""A person's own adapter: it begins as the identity, learns a few examples, and leaves what it stands on as it was."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import madx
from madx.cli import app
from madx.config import InputError
from madx.formats.tensors import load_tensors
from madx.prediction.on_top import read_personal

TaskAdapter = Callable[[str], Path]
QUICK = {"epochs": 40, "learning_rate": 1e-2, "reduction_factor": 2.0}
TEXTS = [f"the sea {i}" for i in range(8)]
MINE = [["fish", "birds", "sea"], ["birds", "the", "fish"], ["sea", "sea", "birds"]] * 10
TAGS = {"fish": "a", "birds": "b", "the": "b", "sea": "a"}


@pytest.fixture(scope="module")
def learnt(encoder_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task adapter whose head tells two labels apart: a person's adapter has that head to speak through."""
    root = tmp_path_factory.mktemp("learnt")
    (root / "tasks").mkdir()
    rows = [{"tokens": ["the", "dog", "sleeps"], "tags": ["a", "b", "a"]} for _ in range(12)]
    (root / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (root / "tasks" / "mine.toml").write_text(
        'kind = "tagging"\nmetric = "accuracy"\nlabels = ["a", "b"]\n[data.eng]\ntrain = "a.jsonl"\n'
    )
    settings = {"epochs": 10, "batch_size": 4, "learning_rate": 1e-2, "reduction_factor": 2.0}
    return madx.train_task(
        "mine", str(encoder_folder("modernbert")), method="task-only", data=root, catalog=[root], device="cpu",
        results=root / "results", task_adapter=settings,
    )  # fmt: skip


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Thirty examples of what the task's training never said."""
    rows = [{"tokens": words, "tags": [TAGS[word] for word in words]} for words in MINE]
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def said(folder: Path | str, texts: list[str] = TEXTS, **more: str) -> list[dict[str, object]]:
    rows = madx.Predictor(folder, device="cpu", **more).predict([{"text": text} for text in texts])  # type: ignore[arg-type]
    return [row["prediction"] for row in rows]


def tags(folder: Path) -> list[list[str]]:
    rows = madx.Predictor(folder, device="cpu").predict([{"tokens": words} for words in MINE])
    return [row["prediction"]["labels"] for row in rows]


def test_it_learns_thirty_examples_and_the_stack_stays_as_it_was(learnt: Path, labels: Path, tmp_path: Path) -> None:
    own = tmp_path / "anna"
    bytes_before = {path: path.read_bytes() for path in learnt.iterdir() if path.is_file()}
    before = tags(learnt)
    assert madx.train_personal(learnt, labels, own, device="cpu", **QUICK) == own  # type: ignore[arg-type]
    about = read_personal(own)
    assert about.score_before < 80
    assert about.score_after > 90
    assert not Path(about.over).is_absolute()
    right = [tag == TAGS[word] for words, found in zip(MINE, tags(own), strict=True)
             for word, tag in zip(words, found, strict=True)]  # fmt: skip
    assert 100 * sum(right) / len(right) == pytest.approx(about.score_after)
    assert tags(learnt) == before
    assert {path: path.read_bytes() for path in learnt.iterdir() if path.is_file()} == bytes_before
    assert load_tensors(own / "adapter.safetensors")
    assert not list(own.glob("*head*"))


def test_it_begins_as_the_identity(learnt: Path, labels: Path, tmp_path: Path) -> None:
    stack, own = learnt, tmp_path / "anna"
    madx.train_personal(stack, labels, own, device="cpu", epochs=1, learning_rate=1e-30)
    assert said(own) == said(stack)


def test_over_a_language_in_a_run_by_the_command_line(project: Path) -> None:
    results = madx.run("recipe.toml", overrides=['methods=["madx", "lora"]', "seeds=[1]"], device="cpu")
    (project / "mine.tsv").write_text("hunden\tVERB\nsover\tDET\n\nen\tNUM\nkatt\tVERB\n")
    folder, runner = str(results.folder), CliRunner()
    command = ["personal", folder, "--labels", "mine.tsv", "--language", "swe", "--method", "madx", "--device", "cpu"]
    quick = ["--epochs", "60", "--learning-rate", "0.01", "--reduction-factor", "2"]
    done = runner.invoke(app, [*command, "--to", "users/bo", *quick, "--json"])
    assert done.exit_code == 0, done.exception
    about = json.loads(done.output)
    assert about["over"] == "../../results/tiny"
    assert (about["method"], about["seed"], about["examples"]) == ("madx", 1, 2)
    assert about["score_after"] > about["score_before"]
    done = runner.invoke(app, ["predict", "users/bo", "--language", "swe", "--format", "text", "--device", "cpu"],
                         input="hunden sover\n")  # fmt: skip
    assert done.exit_code == 0, done.exception
    assert "on top bo, of 2 examples" in done.stderr
    own, plain = madx.Predictor("users/bo", device="cpu"), madx.Predictor(folder, method="madx", device="cpu")
    rows = [{"tokens": ["hunden", "sover"]}]
    probabilities = [p.predict(rows, "swe")[0]["prediction"]["probabilities"] for p in (own, plain)]
    assert not torch.allclose(*map(torch.tensor, probabilities), atol=1e-3)
    assert own.predict(rows, "eng")[0]["prediction"]["labels"]  # over another language's adapter

    for arguments, message in (
        ([*command, "--to", "users/bo"], "is there already"),
        ([*command, "--to", "x", "--method", "lora"], "stands on a task's adapter"),
        (["personal", "users/bo", "--labels", "mine.tsv", "--language", "swe", "--to", "x"], "already; give what"),
        (["personal", folder, "--labels", "no.tsv", "--to", "x"], "no.tsv: no such file"),
        (["predict", "users/bo", "mine.tsv", "--method", "madx"], "one task, method and seed"),
    ):
        assert message in str(runner.invoke(app, arguments).exception)
    assert not (project / "x").exists()


def test_another_stack_than_its_own_is_refused(
    task_adapter: TaskAdapter, learnt: Path, labels: Path, tmp_path: Path
) -> None:
    stack, own = tmp_path / "stack", tmp_path / "anna"
    shutil.copytree(learnt, stack)
    madx.train_personal(stack, labels, own, device="cpu", epochs=1)
    assert said(own)
    head = next(stack.glob("model_head.*"))
    head.write_bytes(head.read_bytes() + b" ")
    with pytest.raises(InputError):
        said(own)
    shutil.rmtree(stack)
    shutil.copytree(task_adapter("tagging"), stack)
    with pytest.raises(InputError, match="was trained on top of another adapter than"):
        said(own)
