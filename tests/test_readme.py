"""What the README says is so."""

import re
import tomllib
from pathlib import Path

from typer.testing import CliRunner

from madx.catalog.find import Catalogue
from madx.cli import app
from madx.pipeline.grid import GRID
from madx.pipeline.recipe import recipe_from

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_it_says_what_madx_is_and_is_not() -> None:
    assert "language adapters" in README.splitlines()[0]
    assert "accelerator-physics" in README


def test_its_recipe_is_one() -> None:
    block, parallel = blocks("toml")
    recipe = recipe_from({**tomllib.loads(block), **tomllib.loads(parallel)}, "README.md", [])
    assert recipe.parallel["fao"] == ("english.txt", "faroese.txt")
    catalogue = Catalogue()
    assert catalogue.language(recipe.targets[0]).name == "Faroese"
    assert all(catalogue.task(name) for name in recipe.tasks)


def test_its_commands_and_options_exist() -> None:
    runner = CliRunner()
    commands = [line.split("#")[0] for block in blocks("sh") for line in block.splitlines() if line.startswith("madx ")]
    assert len(commands) >= 6
    for command in commands:
        words = command.split()[1:]
        depth = 2 if words[0] in ("adapters", "language", "models", "task") else 1
        result = runner.invoke(app, [*words[:depth], "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
        assert result.exit_code == 0, command
        for option in re.findall(r"--[a-z-]+", command):
            assert option in result.output, (command, option)


def test_its_grid_is_the_grid() -> None:
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", README, re.MULTILINE)) == set(GRID)


def test_its_python_uses_names_that_are_public() -> None:
    import madx

    used = set(re.findall(r"madx\.([A-Za-z_]+)\(", "\n".join(blocks("python"))))
    assert {"run", "train_language", "load", "attach"} <= used <= set(madx.PUBLIC)


def test_its_counts_are_right() -> None:
    catalogue = Catalogue()
    assert f"{len(catalogue.language_files)} languages" in README


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("sh")), re.MULTILINE):
        assert f"\n{target}:" in makefile
