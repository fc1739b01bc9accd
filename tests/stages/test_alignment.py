"""Stage one with parallel text: what is read, what is pulled where, and what a recipe may ask."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.cli import app
from madx.config import InputError
from madx.corpora.parallel import ParallelFiles, ParallelText
from madx.encoders.encoder import Encoder
from madx.stages.alignment import SentencePairs, alignment_loss

NUMBERS = ["one", "two", "three", "four", "five", "six"]
TAL = ["ett", "två", "tre", "fyra", "fem", "sex"]
PAIRS = [
    (f"{NUMBERS[i]} dog sees {NUMBERS[j]} cats", f"{TAL[i]} hund ser {TAL[j]} katter")
    for i in range(6)
    for j in range(6)
    if i != j
]


def parallel(folder: Path, source: list[str], target: list[str]) -> ParallelText:
    (folder / "a.txt").write_text("\n".join(source) + "\n", encoding="utf-8")
    (folder / "b.txt").write_text("\n".join(target) + "\n", encoding="utf-8")
    files = ParallelFiles(source=str(folder / "a.txt"), target=str(folder / "b.txt"))
    return ParallelText(source="eng", target="swe", files=(files,), digests=("x", "y"))


def test_lines_that_do_not_correspond_are_refused(tmp_path: Path) -> None:
    lines = [f"line {i}" for i in range(150)]
    assert len(parallel(tmp_path, lines, ["", *lines[1:]]).pairs()) == 149
    with pytest.raises(InputError, match=r"b\.txt: ends before line 150"):
        parallel(tmp_path, lines, lines[:-1]).pairs()
    with pytest.raises(InputError, match="20 sentence pairs; 100 are the least"):
        parallel(tmp_path, lines[:20], lines[:20]).pairs()


def test_the_target_is_drawn_to_the_source_and_the_source_stays(encoder: Encoder) -> None:
    torch.manual_seed(0)
    for name in ("eng", "swe"):
        encoder.adapters.add(name, BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec()))
    source, target = encoder.adapters.get("eng").requires_grad_(False), encoder.adapters.get("swe")
    before = {key: value.clone() for key, value in source.state_dict().items()}
    pairs = SentencePairs(encoder, PAIRS)
    assert len(pairs.pairs) == len(PAIRS)
    optimizer = torch.optim.AdamW(target.parameters(), lr=3e-3)
    losses = []
    for step in range(40):
        total = torch.zeros(())
        for part in pairs.batch(step, 16, 1, 1.0, encoder.device):
            total = total + alignment_loss(encoder, "eng", "swe", part)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(total.item())
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    assert all(torch.equal(value, before[key]) for key, value in source.state_dict().items())
    assert all(p.grad is None for p in encoder.model.parameters())


def test_a_language_aligned_with_itself_is_at_no_distance(tiny: Encoder) -> None:
    tiny.adapters.add("eng", BottleneckSpec())
    pairs = SentencePairs(tiny, [(source, source) for source, _ in PAIRS])
    (part,) = pairs.batch(0, 8, 1, 2.0, tiny.device)
    assert [a.tolist() for a in part.source_N] == [a.tolist() for a in part.target_N]
    with torch.no_grad():
        loss = alignment_loss(tiny, "eng", "eng", part) / 2.0
    assert 0 <= loss < 2.0  # what is left is the contrast with the other words


def test_an_updates_parts_are_the_whole_update(tiny: Encoder) -> None:
    pairs = SentencePairs(tiny, PAIRS)
    pairs.micro_tokens = 20
    parts = list(pairs.batch(3, 10, 1, 5.0, tiny.device))
    assert len(parts) > 1
    assert sum(p.scale for p in parts) == pytest.approx(5.0)
    assert sum(len(p.source_BT) for p in parts) == 10
    again = list(pairs.batch(3, 10, 1, 5.0, tiny.device))
    assert all(torch.equal(a.target_BT, b.target_BT) for a, b in zip(parts, again, strict=True))


def run(*arguments: str) -> None:
    done = CliRunner().invoke(app, ["run", "recipe.toml", *arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output


def test_a_recipe_with_parallel_text(project: Path) -> None:
    short = ("--set", 'methods=["madx-aligned", "madx"]', "--set", "seeds=[1]")
    with pytest.raises(InputError, match=r"madx-aligned: 'swe' has no parallel text with 'eng'; give it some"):
        run(*short)
    for name, column in (("a.txt", 0), ("b.txt", 1)):
        (project / name).write_text("\n".join(pair[column] for pair in PAIRS * 4) + "\n", encoding="utf-8")
    run(*short, "--set", 'parallel={swe=["a.txt", "b.txt"]}')
    scores = (project / "results" / "tiny" / "scores.csv").read_text()
    assert "madx-aligned" in scores
    manifests = [json.loads(f.read_text()) for f in (project / "results" / ".store").glob("language-swe-*/madx.json")]
    aligned = [m["aligned"] for m in manifests if "aligned" in m]
    assert len(manifests) == 2
    assert [a["toward"] for a in aligned] == ["eng"]
    report = (project / "results" / "tiny" / "report.md").read_text()
    assert "swe, aligned with eng" in report
    inputs = json.loads((project / "results" / "tiny" / "run.json").read_text())["inputs"]
    assert len(inputs["parallel/eng-swe"]) == 2
    run("--set", 'methods=["madx-aligned"]', "--dry-run", "--set", 'parallel={swe=["a.txt", "b.txt"]}')
    (project / "b.txt").write_text("ett\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"b\.txt: ends before line 2"):
        run(*short, "--set", 'parallel={swe=["a.txt", "b.txt"]}')
