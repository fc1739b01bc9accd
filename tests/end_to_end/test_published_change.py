"""A sparse change goes to composable-sft and comes back, and labels as it did: from the recipe to a prediction."""

import csv
from collections.abc import Callable
from pathlib import Path

from tests.end_to_end.test_pipeline import madx

LINES = '{"text": "hunden sover"}\n{"text": "en katt äter fisk"}\n'


def scores(project: Path) -> list[tuple[str, ...]]:
    """But for the steps that made them."""
    rows = csv.DictReader((project / "results" / "tiny" / "scores.csv").read_text().splitlines())
    return [tuple(row[key] for key in ("metric", "target", "value", "ci_low", "ci_high")) for row in rows]


def test_a_language_of_composable_sft_under_a_task_of_ours(
    project: Path, encoder_folder: Callable[[str], Path]
) -> None:
    madx(project, "run", "recipe.toml", "--set", "methods=['lt-sft']", "--set", "seeds=[1]")
    found = [f for f in (project / "results" / ".store").glob("language-swe-*") if (f / "sparse.safetensors").exists()]
    kept = max(found, key=lambda folder: (folder / "done.json").stat().st_mtime)  # after the ticket
    encoder = str(encoder_folder("modernbert"))
    madx(project, "adapters", "export", str(kept), "--to", "theirs", "--model", encoder)
    assert (project / "theirs" / "pytorch_diff.bin").exists()
    madx(project, "adapters", "import", "theirs", "--to", "again", "--model", encoder)
    trained = scores(project)
    for ready in ("theirs", "again"):
        named = f'language_adapters={{swe = "{ready}"}}'
        madx(project, "run", "recipe.toml", "--set", "methods=['lt-sft']", "--set", "seeds=[1]", "--set", named)
        assert list((project / "results" / ".store").glob("imported-swe-*"))
        assert scores(project) == trained
    asked = ("predict", "results/tiny", "--format", "jsonl", "--language")
    own, _ = madx(project, *asked, "swe", text=LINES)
    published, _ = madx(project, *asked, "xxx", "--adapter", "xxx=again", text=LINES)
    other, _ = madx(project, *asked, "eng", text=LINES)
    assert published.replace('"xxx"', '"swe"') == own != other.replace('"eng"', '"swe"')
