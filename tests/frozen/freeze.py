"""Makes what a release leaves behind, for later releases to read: python tests/frozen/freeze.py (once a release).

A tiny random encoder, and a run on it with something of every kind that is stored; texts and labels are our own.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

TESTS = Path(__file__).absolute().parents[1]
sys.path.insert(0, str(TESTS))

from tiny_encoders import make_encoder  # noqa: E402
from tiny_project import ENGLISH, TASK, labelled  # noqa: E402

import madx  # noqa: E402

RECIPE = """name = "frozen"
model = "encoder"
tasks = ["tags"]
source = "eng"
targets = ["swe"]
methods = [
    "madx", "task-only", "full", "lora", "prefix", "prompt", "bitfit", "ia3", "madx-compacter", "lt-sft",
    "madx-vocabulary", "lora-language", "ensemble", "fusion-languages",
]
seeds = [1]
language_adapter = { steps = 6, batch_tokens = 128, max_length = 16 }
task_adapter = { epochs = 4, batch_size = 4, learning_rate = 1e-2 }
vocabulary = { size = 150 }
compacter = { reduction_factor = 4, products = 2 }
evaluation = { bootstrap = 50 }
"""
SENTENCES = ["hunden ser ett hus", "en gammal katt sover nära havet"]
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(TESTS.parent)}


def freeze(folder: Path) -> None:
    folder.mkdir()
    (folder / "tasks").mkdir()
    (folder / "languages").mkdir()
    (folder / "tasks" / "tags.toml").write_text(TASK)
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "eng.tsv").write_text(labelled(ENGLISH))
    (folder / "swe.tsv").write_text(labelled([("hunden sover", "NOUN VERB"), ("en katt äter", "DET NOUN VERB")]))
    for code, words in (("eng", "the dog sees a house near the sea"), ("swe", "hunden ser ett hus nära havet")):
        (folder / f"{code}.txt").write_text("\n".join(f"{words} {i} och {i * i} igen" for i in range(200)) + "\n")
        about = f'name = "{code}"\nscript = "Latn"\ntext = ["{code}.txt"]\n'
        (folder / "languages" / f"{code}.toml").write_text(about)
    make_encoder(folder / "encoder", "bert")
    subprocess.run(
        [sys.executable, "-m", "madx", "run", "recipe.toml", "--quiet", "--device", "cpu", "--data", "."],
        check=True, cwd=folder, env=ENVIRONMENT,
    )  # fmt: skip
    run = folder / "results" / "frozen"
    for part in ("report.html", "paper", "plots", "tables"):  # made from the rest
        path = run / part
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    os.chdir(folder)
    Path("said.json").write_text(json.dumps(answers(Path("results/frozen")), indent=0))
    for lock in folder.rglob("*.lock"):
        lock.unlink()


def answers(run: Path) -> dict[str, list[dict[str, Any]]]:
    """What each method of a run says of two sentences, with probabilities; where its encoder is in the directory."""
    methods = dict.fromkeys(model["method"] for model in json.loads((run / "models.json").read_text())["models"])
    return {m: madx.Predictor(run, method=m, device="cpu").predict(SENTENCES, "swe") for m in methods}


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        freeze(Path(temporary) / madx.__version__)
        os.chdir(TESTS)
        archive = TESTS / "frozen" / f"{madx.__version__}.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(Path(temporary) / madx.__version__, madx.__version__)
