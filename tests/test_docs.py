"""What the README and the manual say is so: commands, options, recipes, tasks, Python names, links."""

import re
import subprocess
import sys
import tomllib
from glob import glob
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from madx.catalog.find import Catalogue
from madx.catalog.language import read_language
from madx.catalog.task import read_task
from madx.cli import app
from madx.pipeline.grid import GRID
from madx.pipeline.recipe import Recipe, recipe_from

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text(encoding="utf-8")


def blocks(language: str) -> list[tuple[str, str]]:
    """(page, block) of the README and the manual."""
    return [
        (path.name, block)
        for path in PAGES
        for block in re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    ]


def commands() -> list[tuple[str, str]]:
    """(page, command), in blocks of a shell and between backquotes in text."""
    found = [
        (page, line.split("#")[0].strip())
        for page, block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("madx ")
    ]
    for path in PAGES:
        text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        found += [(path.name, command) for command in re.findall(r"`(madx [a-z][^`]*)`", text)]
    return list(dict.fromkeys(found))


def test_every_command_and_option_exists() -> None:
    root: Any = typer.main.get_command(app)
    assert len(commands()) > 40
    for page, command in commands():
        words, here = command.split()[1:], root
        while words and words[0] in getattr(here, "commands", {}):
            here = here.commands[words.pop(0)]
        assert here is not root, (page, command)
        known = {option for parameter in here.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for option in re.findall(r"(?<![\w-])--[a-z-]+", " ".join(words)):
            assert option in known | {"--help"}, (page, command, option)


def test_every_toml_block_is_a_recipe_a_part_of_one_a_task_or_a_language(tmp_path: Path) -> None:
    catalogue, seen = Catalogue(), set()
    for page, block in blocks("toml"):
        data = tomllib.loads(block)
        if "kind" in data:
            task = read_task(tmp_path / "mytask.toml", data)
            seen.add("task")
            assert task.kind == data["kind"], page
        elif "script" in data:
            assert read_language(tmp_path / "xyz.toml", data).name == data["name"], page
            seen.add("language")
        else:
            whole = {"name": "x", "tasks": ["pos"], "targets": ["swe"], **data}
            recipe: Recipe = recipe_from(whole, page, [])
            seen.add("recipe" if "name" in data else "part")
            for task_name in recipe.tasks:
                catalogue.task(task_name)
    assert seen == {"task", "language", "recipe", "part"}


def test_the_grid_is_the_grid() -> None:
    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    grid = text.split("\n## The grid\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", grid, re.MULTILINE)) == set(GRID)
    told = " ".join(re.findall(r"^## (.*)$", text, re.MULTILINE)) + text[text.index("## Controls") :]
    assert all(method in told for method in GRID), [method for method in GRID if method not in told]


def test_python_blocks_use_public_names_and_compile() -> None:
    import madx

    for page, block in blocks("python"):
        if page != "python.md":  # signatures
            compile(block, page, "exec")
            used = set(re.findall(r"madx\.([A-Za-z_]+)\(", block))
            assert used <= set(madx.PUBLIC), (page, used - set(madx.PUBLIC))


@pytest.mark.parametrize(("page", "script"), [("python.md", "python_reference.py"), ("files.md", "file_reference.py")])
def test_a_reference_is_what_the_code_says(page: str, script: str) -> None:
    path = ROOT / "docs" / script
    made = subprocess.run(
        [sys.executable, "-c", f"import runpy; print(runpy.run_path({str(path)!r})['page'](), end='')"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert (ROOT / "docs" / page).read_text(encoding="utf-8") == made, f"run: python docs/{script}"


def test_links_lead_somewhere() -> None:
    for path in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
            if "://" in target:
                continue
            place, _, anchor = target.partition("#")
            file = (path.parent / place) if place else path
            assert file.exists(), (path.name, target)
            if anchor:
                titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
                slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
                assert anchor in slugs, (path.name, target, slugs)


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="mkdocs-material isn't installed: pip install -e '.[docs]'")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", str(ROOT / "mkdocs.yml"), "-d",
         str(tmp_path / "site")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "site" / "own-language" / "index.html").exists()


def test_it_says_what_madx_is_and_is_not() -> None:
    assert "language adapters" in README.splitlines()[0]
    assert "accelerator-physics" in README


def test_counts_and_make_targets_are_right() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page, block in blocks("sh"):
        for target in re.findall(r"^make (\w+)", block, re.MULTILINE):
            assert f"\n{target}:" in makefile, (page, target)


def test_the_first_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its steps 2 to 7, on the quick start's Swiss German, with a few updates."""
    monkeypatch.chdir(tmp_path)
    lines = (ROOT / "madx" / "quickstart" / "gsw.txt").read_text(encoding="utf-8").splitlines()[:400]
    (tmp_path / "faroese.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "new-text.txt").write_text("Hüt schynt d Sunne.\n", encoding="utf-8")
    page = (ROOT / "docs" / "own-language.md").read_text(encoding="utf-8")
    steps = [line.split() for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    assert [words[1] for words in steps] == ["init", "check", "run", "predict", "adapters"]
    few = ["language_adapter.steps=3", "task_adapter.epochs=1", 'methods=["madx"]', "seeds=[1]"]
    said = ""
    for step in steps:
        words = [path for word in step for path in (glob(word) if "*" in word else [word])]  # as a shell does
        more = [word for setting in few for word in ("--set", setting)] if words[1] in ("check", "run") else []
        done = CliRunner().invoke(app, [*words[1:], *more])
        assert done.exit_code == 0, (words, done.output, done.exception)
        said += done.output
    assert "Hüt\t" in said
    assert (tmp_path / "adapters" / "fao" / "README.md").exists()
    assert (tmp_path / "results" / "fao-pos" / "report.html").exists()
