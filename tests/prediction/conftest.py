"""A task adapter of every kind, trained for a moment; and a run of tagging with two languages."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import madx

ROWS = {
    "classification": [{"text": f"the dog sleeps {i}", "label": "ab"[i % 2]} for i in range(8)],
    "multiple-choice": [
        {"premise": f"it rained {i}", "choice1": "wet", "choice2": "dry", "question": "effect", "label": i % 2}
        for i in range(8)
    ],
    "question-answering": [
        {"id": str(i), "question": "who?", "context": f"yes {i} Anna came",
         "answers": [{"text": "Anna", "answer_start": len(f"yes {i} ")}]}
        for i in range(8)
    ],
    "tagging": [{"tokens": ["Anna", "ser", "Lund"], "tags": ["B-PER", "O", "B-LOC"]} for _ in range(8)],
}  # fmt: skip
LABELS = {
    "classification": ["a", "b"],
    "tagging": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
    "parsing": ["root", "dep"],
}
METRICS = {
    "classification": "accuracy", "multiple-choice": "accuracy", "question-answering": "qa-f1", "tagging": "span-f1",
    "parsing": "las",
}  # fmt: skip
TREE = "1\tthe\t_\t_\t_\t_\t2\tdep\t_\t_\n2\tdog\t_\t_\t_\t_\t0\troot\t_\t_\n\n"


@pytest.fixture(scope="session")
def task_adapter(
    encoder_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """By kind."""
    made: dict[str, Path] = {}

    def train(kind: str) -> Path:
        if kind not in made:
            root = tmp_path_factory.mktemp(kind)
            (root / "tasks").mkdir()
            name = "a.conllu" if kind == "parsing" else "a.jsonl"
            (root / name).write_text(TREE * 4 if kind == "parsing" else "\n".join(map(json.dumps, ROWS[kind])))
            labels = f"labels = {json.dumps(LABELS[kind])}\n" if kind in LABELS else ""
            (root / "tasks" / "mine.toml").write_text(
                f'kind = "{kind}"\nmetric = "{METRICS[kind]}"\n{labels}[data.eng]\ntrain = "{name}"\ndev = "{name}"\n'
            )
            made[kind] = madx.train_task(
                "mine", str(encoder_folder("modernbert")), method="task-only", data=root, catalog=[root],
                results=root / "results", device="cpu", task_adapter={"epochs": 1, "batch_size": 4},
            )  # fmt: skip
        return made[kind]

    return train


@pytest.fixture
def tagger(task_adapter: Callable[[str], Path]) -> "madx.Predictor":
    return madx.Predictor(task_adapter("tagging"), device="cpu")
