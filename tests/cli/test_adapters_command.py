"""Adapters that are here, as people and programs read them."""

import json
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from madx.cli import app

ARCHIVE = next((Path(__file__).parents[1] / "frozen").glob("*.tar.gz"))


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished run in the working directory."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(next(tmp_path.iterdir()))


def test_a_list_tells_adapters_apart() -> None:
    rows = json.loads(CliRunner().invoke(app, ["adapters", "list", "--json"]).stdout)
    own = next(row for row in rows if row["kind"] == "language adapter" and row["name"] == "swe")
    assert own["methods"] == ["madx", "madx-compacter"]
    assert (own["seed"], own["model"], own["dev"]) == (1, "encoder", None)
    lora = next(row for row in rows if row["methods"] == ["lora"])
    assert lora["kind"] == "task LoRA"
    assert 0 < lora["dev"] < 100
    shown = CliRunner().invoke(app, ["adapters", "list"]).stdout
    for word in ("address", "methods", "held-out loss", f"{own['held_out_loss']:.2f}", f"{lora['dev']:.1f}"):
        assert word in shown
    assert str(own["held_out_loss"]) not in shown  # nobody reads fifteen digits


def test_nothing_there_is_said() -> None:
    shown = CliRunner().invoke(app, ["adapters", "list", "--results", "elsewhere"]).stdout
    assert shown == "no adapters in elsewhere; --from PLACE looks where some are published\n"


def test_a_damaged_run_costs_its_words_alone() -> None:
    Path("results/frozen/models.json").write_text('{"models": [{}, 7, {"method": "x", "task_model": "y"}]}')
    rows = json.loads(CliRunner().invoke(app, ["adapters", "list", "--json"]).stdout)
    assert rows[0]["address"].startswith("results/.store/")
    assert not any(row["methods"] for row in rows)


def test_what_an_adapter_says_is_one_document_or_lines() -> None:
    (folder,) = [path.parent for path in Path("results/.store").glob("language-swe-*/madx.json")]
    about = json.loads(CliRunner().invoke(app, ["adapters", "show", f"./{folder}", "--json"]).stdout)
    assert set(about) == {"madx", "adapter_config"}
    lines = CliRunner().invoke(app, ["adapters", "show", f"./{folder}"]).stdout.splitlines()
    assert lines[:3] == ["madx.json", "  kind: language adapter", "  language: swe"]
    assert f"  held_out_loss.after: {about['madx']['held_out_loss']['after']:.4g}" in lines
    assert max(map(len, lines)) < 250
