"""The command's surface: fast help, clear refusals, exit statuses."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_encoders import make_encoder

ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def madx(*arguments: str, cwd: Path | None = None, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "madx", *arguments], cwd=cwd, env=ENVIRONMENT, input=text, capture_output=True, text=True
    )


def test_help_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import sys\nsys.argv = ['madx', '--help']\nfrom madx.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'transformers', 'datasets', 'pandas', 'numpy', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def test_a_project_is_begun_without_torch() -> None:
    code = "import sys\nimport madx.pipeline.init\nprint([m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.stdout == "[]\n", done.stdout + done.stderr


@pytest.mark.parametrize("command", ["languages", "tasks", "models"])
def test_the_catalogue_is_printed(command: str) -> None:
    lines = madx(command).stdout.splitlines()
    assert len(lines) >= 8
    assert len(json.loads(madx(command, "--json").stdout)) == len(lines)


def test_an_encoder_is_exported_once(tmp_path: Path) -> None:
    make_encoder(tmp_path / "tiny", "bert")
    done = madx("models", "export", "./tiny", "out", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "out\n"), done.stderr
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {f.name for f in (tmp_path / "out").iterdir()}
    again = madx("models", "export", "./tiny", "out", cwd=tmp_path)
    assert (again.returncode, len(again.stderr.splitlines())) == (2, 1)
    assert "out: is there already; choose a new folder" in again.stderr


def replace(project: Path, old: str, new: str, file: str = "recipe.toml") -> None:
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new))


def refused(project: Path, message: str, *more: str) -> None:
    """One line on stderr, exit status 2, and nothing was trained."""
    done = madx("run", "recipe.toml", *more, cwd=project)
    assert done.returncode == 2, done.stderr
    error = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(error) == 1, done.stderr
    assert re.search(message, error[0]), error[0]
    assert "Traceback" not in done.stderr
    store = project / "results" / ".store"
    assert not [p for p in (store.iterdir() if store.exists() else ()) if p.name.startswith(("language-", "task-"))]


def test_an_unknown_language(project: Path) -> None:
    replace(project, '["swe"]', '["swedsh"]')
    refused(project, "targets: unknown language 'swedsh', did you mean 'swedish'")
    replace(project, '["swedsh"]', '["swe"]')
    replace(project, 'swe = "swe.txt"', 'swx = "swe.txt"')
    refused(project, "text: unknown language 'swx', did you mean 'sw")


def test_a_file_that_a_recipe_names_and_that_is_not_there(project: Path) -> None:
    replace(project, 'swe = "swe.txt"', 'swe = "text/swee.txt"')
    refused(project, r"error: text\.swe: text/swee\.txt: no such file in the working directory$")
    done = madx("check", project.name, "--data", project.name, cwd=project.parent)  # a folder: its recipe.toml
    assert done.returncode == 2
    assert f"text.swe: text/swee.txt: no such file in {project.name}, the working directory" in done.stderr


def test_a_folder_stands_for_its_recipe_and_its_files_are_found(project: Path) -> None:
    done = madx("check", project.name, cwd=project.parent)
    assert done.returncode == 0, done.stderr
    assert "read: tags eng train: 18 sentences" in done.stdout


def test_an_unknown_recipe_key(project: Path) -> None:
    replace(project, "steps = 12", "stepz = 12")
    refused(project, r"recipe.toml: unknown key 'language_adapter.stepz', did you mean 'steps'\?")


def test_a_value_of_the_wrong_kind(project: Path) -> None:
    replace(project, "steps = 12", 'steps = "many"')
    refused(project, "recipe.toml: key 'language_adapter.steps'")


def test_a_label_that_is_not_in_the_set(project: Path) -> None:
    replace(project, "NOUN", "NUON", "swe.tsv")
    refused(
        project,
        r"swe\.tsv:1: label 'NUON' is not in the task's set, did you mean 'NOUN'\? The set: .*NOUN.* tasks/NAME",
    )


def test_a_missing_column(project: Path) -> None:
    replace(project, "sover\tVERB", "sover VERB", "swe.tsv")
    refused(project, r"swe\.tsv:2: 1 column\(s\)")


def test_an_empty_corpus(project: Path) -> None:
    (project / "swe.txt").write_text("\n\n")
    refused(project, "the text of 'swe' is empty after cleaning")


def test_text_that_is_not_utf8(project: Path) -> None:
    (project / "swe.txt").write_bytes("en mening\nen väg\n".encode("latin-1") * 200)
    refused(project, r"swe\.txt:2: not UTF-8")


def test_an_encoder_without_weights(project: Path) -> None:
    (project / "bare").mkdir()
    (project / "bare" / "config.json").write_text("{}")
    refused(project, "model 'bare': .* has no weights", "--set", "model=bare")


@pytest.mark.parametrize("what", ["family", "width"])
def test_a_language_adapter_for_another_encoder(project: Path, what: str) -> None:
    from madx.adapters.spec import BottleneckSpec
    from madx.device import choose_device
    from madx.encoders.encoder import load_encoder
    from madx.encoders.reference import resolve_encoder
    from madx.formats.adapterhub import save_adapter

    other = make_encoder(project / "other", "bert")
    encoder = load_encoder(resolve_encoder(str(other)), choose_device("cpu"))
    encoder.adapters.add("swe", BottleneckSpec())
    save_adapter(project / "adapter", encoder, "swe")
    if what == "width":
        path = project / "adapter" / "adapter_config.json"
        about = json.loads(path.read_text())
        path.write_text(json.dumps({**about, "model_type": "modernbert", "hidden_size": 32}))
    message = "made for model_type bert" if what == "family" else "made for hidden_size 32"
    refused(project, message, "--set", 'language_adapters={swe="adapter"}')


def test_wrong_usage_is_status_2_and_debug_shows_the_traceback(project: Path) -> None:
    assert madx("run", "--no-such-option").returncode == 2
    assert madx("run", "missing.toml", cwd=project).returncode == 2
    assert "Traceback" in madx("run", "missing.toml", "--debug", cwd=project).stderr


def test_a_tracker_that_is_not_installed_is_named(project: Path) -> None:
    refused(
        project,
        r"trackers: 'mlflow' is not installed; pip install 'madx-adapters\[mlflow\]'",
        "--set",
        'trackers=["mlflow"]',
    )


def test_an_adapter_option_names_its_language(project: Path) -> None:
    done = madx("evaluate", "tags", "--target", "swe", "--adapter", "some/folder", cwd=project)
    assert done.returncode == 2
    assert "--adapter some/folder: write LANGUAGE=ADDRESS, e.g. swe=some/folder" in done.stderr


def test_data_that_is_not_there(project: Path) -> None:
    refused(project, r"--data nowhere: no such directory", "--data", "nowhere")


def test_layers_that_the_encoder_lacks(project: Path) -> None:
    refused(project, r"leave_out = \[2\]: .* has the layers 0 to 1", "--set", "task_adapter.leave_out=[2]")


def test_a_misspelt_non_linearity(project: Path) -> None:
    refused(project, r"key 'language_adapter.*rellu", "--set", "language_adapter.non_linearity=rellu")


def test_stage_two_alone_for_a_method_that_needs_targets(project: Path) -> None:
    for method in ("full-target-mlm", "tlr"):
        done = madx("task", "train", "tags", "--method", method, cwd=project)
        assert done.returncode == 2
        assert f"method {method}: it is trained for targets" in done.stderr


def test_what_was_read_is_said_before_any_work(project: Path) -> None:
    arguments = ("--set", 'methods=["task-only"]', "--set", "seeds=[1]")
    out = madx("run", "recipe.toml", "--dry-run", *arguments, cwd=project).stdout
    assert "read: tags eng train: 18 sentences, 69 words, 6 labels, " in out
    assert "read: tags swe test: 2 sentences, 5 words, 3 of 6 labels, " in out
    (project / "swe.tsv").write_text("hunden\tNUON\n")
    done = madx("run", "recipe.toml", "--dry-run", *arguments, cwd=project)
    assert done.returncode == 2
    assert "swe.tsv:1: label 'NUON'" in done.stderr


def test_a_report_needs_neither_torch_nor_transformers(project: Path) -> None:
    done = madx("run", "recipe.toml", "--set", 'methods=["task-only"]', "--set", "seeds=[1]", cwd=project)
    assert done.returncode == 0, done.stderr
    code = (
        "import sys\nsys.argv = ['madx', 'report', 'results/tiny', '--json']\nfrom madx.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'transformers', 'datasets') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.stderr.splitlines()[-1] == "[]", done.stderr


def test_version_and_short_help() -> None:
    assert re.fullmatch(r"madx \d+\.\d+\.\d+\n", madx("--version").stdout)
    assert "--dry-run" in madx("run", "-h").stdout
