"""A recipe's plan: what each method trains over and answers with, and what stands on what."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from madx.catalog.find import Catalogue
from madx.cli import app
from madx.config import InputError
from madx.encoders import reference
from madx.methods.full import Full
from madx.pipeline.grid import GRID
from madx.pipeline.plan import Cell
from madx.pipeline.planner import Planner
from madx.pipeline.recipe import load_recipe
from madx.stages import session as session_module
from madx.stages.language import LanguageStage
from madx.stages.merge import MergedAdapter


@pytest.fixture
def three(project: Path) -> Path:
    """Another target with text, labels and a translation into English: nno."""
    (project / "nno.txt").write_text((project / "swe.txt").read_text())
    recipe = (project / "recipe.toml").read_text()
    recipe = recipe.replace('targets = ["swe"]', 'targets = ["swe", "nno"]').replace(
        'swe = "swe.txt"', 'swe = "swe.txt"\nnno = "nno.txt"\n[parallel]\nswe = ["eng.txt", "swe.txt"]\n'
        'nno = ["eng.txt", "nno.txt"]'
    )  # fmt: skip
    (project / "recipe.toml").write_text(recipe)
    task = (project / "tasks" / "tags.toml").read_text()
    (project / "tasks" / "tags.toml").write_text(task + '[data.nno]\ntest = "swe.tsv"\n')
    return project


def planner(project: Path, *overrides: str) -> Planner:
    return Planner(load_recipe(project / "recipe.toml", list(overrides)), Catalogue(project), None, project)


def about(cell: Cell) -> tuple[list[str], str | None, str | None]:
    """Languages of the adapters below in stage two, of the one it is evaluated with, and where it starts."""
    start = cell.stage.start
    return (
        [adapter.subject for adapter in cell.stage.below],
        cell.language.subject if cell.language else None,
        start.subject if start else None,
    )


# stage two's adapters, evaluation's adapter for the target nno, what stage two starts from
EXPECTED = {
    "madx": (["eng"], "nno", None),
    "madx-aligned": (["eng"], "nno", None),
    "madx-2": (["eng"], "nno", None),
    "madx-shared": (["eng"], "nno", None),
    "madx-lily": (["eng"], "nno", None),
    "madx-kl": (["eng"], "nno", None),
    "madx-federated": (["eng"], "nno", None),
    "madx-vocabulary": (["eng"], "nno", None),
    "madx-domain": (["eng+medical"], "nno+medical", None),
    "tlr": (["eng", "swe", "nno"], "nno", None),
    "bad-x": (["nno+eng"], "nno+eng", None),
    "madx-from-source": (["eng"], "nno", None),
    "madx-from-family": (["eng"], "nno", None),
    "madx-from-generated": (["eng"], "nno", None),
    "hierarchical": (["eng"], "nno", None),
    "generated": (["eng"], "nno", None),
    "arithmetic": (["eng"], "nno", None),
    "auto": (["eng"], "nno", None),
    "ensemble": (["eng"], "nno", None),
    "emea": (["eng"], "nno", None),
    "ensemble-logits": (["eng"], "nno", None),
    "hyper-x": ([], "nno", None),
    "lt-sft": (["eng"], "nno", None),
    "madx-lora": (["eng"], "nno", None),
    "fusion-sources": (["eng", "swe"], "nno", None),
    "fusion-tasks": (["eng"], "nno", None),
    "fusion-languages": ([], None, None),
    "hyperformer": (["eng"], "nno", None),
    "madx-drop": (["eng"], "nno", None),
    "madx-sparse": (["eng"], "nno", None),
    "madx-distilled": (["eng"], "nno", None),
    "madx-compacter": (["eng"], "nno", None),
    "madx-compacter-plus": (["eng"], "nno", None),
    "distilled-language": (["eng"], "nno", None),
    "lora-language": (["eng"], "nno", None),
    "lora": ([], None, None),
    "ia3": ([], None, None),
    "prefix": ([], None, None),
    "prompt": ([], None, None),
    "unipelt": ([], None, None),
    "bitfit": ([], None, None),
    "merge-mean": (["eng"], "nno", None),
    "merge-family": (["eng"], "nno", None),
    "merge-typology": (["eng"], "nno", None),
    "merge-source": (["eng"], "nno", None),
    "source-adapter": (["eng"], "eng", None),
    "no-language-adapter": (["eng"], None, None),
    "task-only": ([], None, None),
    "full": ([], None, None),
    "full-target-mlm": ([], None, "nno"),
}


def needs(method: str) -> list[str]:
    """Of a recipe, beside texts."""
    return {
        "fusion-sources": ["source=['eng', 'swe']"],
        "fusion-tasks": ["tasks=['tags', 'other']"],
        "madx-federated": ["federated={ silos = 2, rounds = 3 }"],
        "merge-typology": ["merge.distance=genetic"],  # URIEL+ has no features of Nynorsk
    }.get(method, [])


def test_every_method_of_the_grid_is_expected() -> None:
    assert EXPECTED.keys() == GRID.keys()


@pytest.mark.parametrize("method", GRID)
def test_what_each_method_trains_over_and_answers_with(three: Path, method: str) -> None:
    if method == "merge-typology":
        pytest.importorskip("urielplus", reason="pip install -e '.[typology]'")
    task = (three / "tasks" / "tags.toml").read_text()
    (three / "tasks" / "other.toml").write_text(task)
    if method == "fusion-sources":
        (three / "tasks" / "tags.toml").write_text(task.replace("[data.swe]", '[data.swe]\ntrain = "swe.tsv"'))
    plan = planner(three, f"methods=['{method}']", "domain={ name = 'medical', text = ['swe.txt'] }", *needs(method))
    cell = plan.cell(plan.task("tags"), method, "nno", 1)
    assert about(cell) == EXPECTED[method]
    assert isinstance(cell.stage.method, Full) == method.startswith("full")
    assert cell.stage.cycle == (method in ("tlr", "bad-x"))
    if isinstance(cell.language, LanguageStage):
        assert (cell.language.alignment is not None) == (method == "madx-aligned")


def test_merges_leave_the_languages_own_adapter_out(three: Path) -> None:
    plan = planner(three, "methods=['merge-mean', 'merge-family', 'merge-source']")
    tags = plan.task("tags")
    weights = {}
    for method in plan.recipe.methods:
        merged = plan.cell(tags, method, "nno", 1).language
        assert isinstance(merged, MergedAdapter)
        weights[method] = {part.adapter.subject: part.weight for part in merged.parts}
        assert weights[method].keys() == {"eng", "swe"}
        assert sum(weights[method].values()) == pytest.approx(1.0)
        assert plan.cell(tags, method, "eng", 1).language == plan.language_adapter("eng")
    assert weights["merge-mean"] == {"eng": 0.5, "swe": 0.5}
    assert weights["merge-family"]["swe"] > 0.9  # Swedish is the nearer relative of Nynorsk
    assert weights["merge-source"]["eng"] > 0.5


def test_a_language_without_text_can_be_merged_for(three: Path) -> None:
    (three / "languages").mkdir()
    (three / "languages" / "qaa.toml").write_text('name = "Mine"\nscript = "Latn"\nfamily = ["Indo-European"]\n')
    plan = planner(three, "methods=['merge-family', 'task-only']", "targets=['swe', 'qaa']").plan()
    (merged,) = {c.language for c in plan.cells if c.method == "merge-family" and c.target == "qaa"}
    assert isinstance(merged, MergedAdapter)
    assert [part.adapter.subject for part in merged.parts] == ["eng", "swe"]
    assert "text-qaa" not in [step.name.rsplit("-", 1)[0] for step in plan.steps]
    with pytest.raises(InputError, match=r"'qaa' \(Mine\) has no text"):
        planner(three, "methods=['madx']", "targets=['swe', 'qaa']").plan()


def test_the_last_layer_is_left_out_of_both_adapters(three: Path) -> None:
    plan = planner(three, "methods=['madx-2', 'madx']", "language_adapter.leave_out=[0]")
    tags = plan.task("tags")
    for method, expected in (("madx-2", (0, -1)), ("madx", (0,))):
        cell = plan.cell(tags, method, "nno", 1)
        assert isinstance(cell.language, LanguageStage)
        specs = [step.method.spec for step in (cell.language, *cell.stage.below)]  # type: ignore[attr-defined]
        assert [spec.leave_out for spec in specs] == [expected] * 2
        assert cell.stage.method.spec.leave_out == expected[1:]  # type: ignore[attr-defined]


def test_the_source_keeps_its_own_adapter_when_targets_are_aligned(three: Path) -> None:
    plan = planner(three, "methods=['madx-aligned']")
    cell = plan.cell(plan.task("tags"), "madx-aligned", "eng", 1)
    assert cell.language == plan.language_adapter("eng")


def test_methods_share_the_steps_that_are_equal(three: Path) -> None:
    plan = planner(three, "methods=['madx', 'source-adapter', 'no-language-adapter']", "seeds=[1]").plan()
    assert len({cell.stage.name for cell in plan.cells}) == 1
    names = [step.name for step in plan.steps]
    assert len(names) == len(set(names))
    assert all(names.index(below.name) < names.index(step.name) for step in plan.steps for below in step.upstream)
    kinds = [step.stage for step in plan.steps]
    assert kinds == sorted(kinds, key=["text", "language", "task", "evaluation"].index)


def test_two_sources_train_each_over_its_own_adapter(three: Path) -> None:
    task = (three / "tasks" / "tags.toml").read_text()
    (three / "tasks" / "tags.toml").write_text(task.replace("[data.swe]", '[data.swe]\ntrain = "swe.tsv"'))
    plan = planner(three, "source=['eng', 'swe']", "targets=['nno']", "methods=['madx', 'tlr', 'task-only']")
    tags = plan.task("tags")
    assert about(plan.cell(tags, "madx", "nno", 1))[0] == ["eng", "swe"]
    assert about(plan.cell(tags, "tlr", "nno", 1))[0] == ["eng", "swe", "nno"]
    assert [data.language for data in plan.cell(tags, "task-only", "nno", 1).stage.train] == ["eng", "swe"]


def test_a_limit_holds_a_method_to_its_targets_everywhere(three: Path) -> None:
    plan = planner(three, "methods=['madx', 'tlr']", "limit.tlr.targets=['swe']", "limit.tlr.seeds=[2]")
    cells = plan.plan().cells
    assert {(c.target, c.seed) for c in cells if c.method == "tlr"} == {("swe", 2), ("eng", 2)}
    assert {c.target for c in cells if c.method == "madx"} == {"swe", "nno", "eng"}
    # who asks for another target, as `predict` does, gets the same stage two
    tags = plan.task("tags")
    assert plan.cell(tags, "tlr", "nno", 2).stage == plan.cell(tags, "tlr", "swe", 2).stage


def test_the_licence_of_ones_own_text_is_with_it_and_renames_nothing(three: Path) -> None:
    said = planner(three, 'text_licence.Swedish="CC BY 4.0"').text("swe")
    assert [source.licence for source in said.corpus.sources] == ["CC BY 4.0"]
    assert said.name == planner(three).text("swe").name
    with pytest.raises(InputError, match="text_licence: unknown language 'swedsh'"):
        planner(three, 'text_licence.swedsh="CC0"')


def test_a_limit_names_targets_of_the_recipe(three: Path) -> None:
    with pytest.raises(InputError, match=r"limit\.tlr\.targets: 'fao' is none of the recipe's targets"):
        planner(three, "methods=['madx', 'tlr']", "limit.tlr.targets=['Faroese']").plan()


def test_text_that_a_language_of_ones_own_names_lies_beside_the_recipe(three: Path, tmp_path: Path) -> None:
    """From wherever it is run; a file that isn't there is named."""
    (three / "languages").mkdir(exist_ok=True)
    about = 'name = "Swedish"\nscript = "Latn"\ntext = ["texts/own.txt"]\n'
    (three / "languages" / "swe.toml").write_text(about)
    recipe = three / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('swe = "swe.txt"\n', ""))
    with pytest.raises(InputError, match=r"has no text in the catalogue \(texts/own\.txt: no such file\); was --data"):
        planner(three).plan()
    (three / "texts").mkdir()
    (three / "swe.txt").rename(three / "texts" / "own.txt")
    (source,) = planner(three).text("swe").corpus.sources
    assert source.file == str(three / "texts" / "own.txt")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("targets=[]", r"key 'targets"),
        ("seeds=[1, 1]", r"key 'seeds': \[1, 1\]: seeds are different"),
        ("seeds=[-1]", r"key 'seeds': \[-1\]: seeds are different"),
        ("limit.madx.seeds=[2, 2]", r"seeds are different"),
        ("limit.madx.seeds=[7]", r"limit\.madx\.seeds: 7 is none of the recipe's, \[1, 2\]"),
        ("methods=['madxx']", "unknown method 'madxx', did you mean 'madx'"),
        ("language_adapter.non_linearity=rellu", "non_linearity"),
    ],
)
def test_what_cannot_be_right_in_a_recipe(three: Path, override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_recipe(three / "recipe.toml", [override])


def test_a_task_of_an_unknown_kind_or_metric(three: Path) -> None:
    path = three / "tasks" / "tags.toml"
    whole = path.read_text()
    path.write_text(whole.replace('kind = "tagging"', 'kind = "taging"'))
    with pytest.raises(InputError, match=r"tasks/tags\.toml: key 'kind': .*'taging', did you mean 'tagging'"):
        planner(three).plan()
    path.write_text(whole.replace('metric = "accuracy"', 'metric = "las"'))
    with pytest.raises(InputError, match="a tagging task has accuracy, span-f1, not 'las'"):
        planner(three).plan()


def test_a_look_at_a_plan_downloads_nothing(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights of a Hub model come when it is run; what can be read without them is checked."""
    monkeypatch.setattr(reference, "_hub_commit", lambda name, revision: "0" * 40)
    monkeypatch.setattr(session_module, "load_encoder", lambda *arguments: pytest.fail("it was loaded"))
    arguments = ["run", "recipe.toml", "--dry-run", "--set", "model=me/large", "--set", "methods=['madx', 'task-only']"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.exception
    assert "me/large is not on this machine: its weights will be downloaded first" in done.output
    assert "read: tags eng train: 18 sentences" in done.output
    assert "to do   language-swe" in done.output
    (three / "swe.tsv").write_text("hunden\tNUON\n")
    assert "label 'NUON' is not in the task's set" in str(CliRunner().invoke(app, arguments).exception)


def test_stage_two_alone_is_for_methods_that_know_no_targets(three: Path) -> None:
    plan = planner(three, "methods=['madx', 'tlr']")
    assert plan.source_stage(plan.task("tags"), "madx", 1) == plan.cell(plan.task("tags"), "madx", "nno", 1).stage
    for method in ("tlr", "bad-x", "full-target-mlm"):
        with pytest.raises(InputError, match=f"method {method}: it is trained for targets"):
            plan.source_stage(plan.task("tags"), method, 1)


def test_a_task_may_have_settings_of_its_own(project: Path) -> None:
    plain, own = planner(project), planner(project, "task.tags.epochs=3")
    stages = [p.source_stage(p.task("tags"), "madx", 1) for p in (plain, own)]
    assert [stage.epochs for stage in stages] == [plain.recipe.task_adapter.epochs, 3]
    assert stages[1] == stages[0].model_copy(update={"epochs": 3})  # and nothing else


def test_settings_of_a_task_that_the_recipe_lacks_are_refused(project: Path) -> None:
    with pytest.raises(InputError, match=r"task\.ner: the recipe has no such task"):
        planner(project, "task.ner.epochs=3")
