"""The command `madx`: parse, call, print. Every heavy import is inside a command."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from madx.config import InputError, RunError

if TYPE_CHECKING:
    from madx.catalog.find import Catalogue
    from madx.pipeline.plan import Plan, Planner
    from madx.pipeline.recipe import Recipe
    from madx.pipeline.run import Progress
    from madx.stages.session import Session, Step

app = typer.Typer(
    help="Language adapters: train, transfer, evaluate (MAD-X).", no_args_is_help=True, pretty_exceptions_enable=False,
    add_completion=False,
)  # fmt: skip
language_app = typer.Typer(help="Stage one.", no_args_is_help=True)
task_app = typer.Typer(help="Stage two.", no_args_is_help=True)
adapters_app = typer.Typer(help="Adapters as things to share.", no_args_is_help=True)
app.add_typer(language_app, name="language")
app.add_typer(task_app, name="task")
app.add_typer(adapters_app, name="adapters")
models_app = typer.Typer(invoke_without_command=True)
app.add_typer(models_app, name="models")

Data = Annotated[Path | None, typer.Option("--data", envvar="MADX_DATA", help="Root of the catalogue's files.")]
Results = Annotated[Path, typer.Option("--results", help="Where runs and the store of finished steps go.")]
CatalogOption = Annotated[list[Path] | None, typer.Option("--catalog", help="Your own languages/ and tasks/.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a recipe key: key=value. Repeatable.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", min=1, envvar="MADX_JOBS", help="Steps made at once; default: several for small encoders."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, only results.")]
Source = Annotated[
    str, typer.Argument(help="OWNER/REPOSITORY/NAME@REVISION on the Hub, https://HOST/DIRECTORY, or a folder.")
]
Revision = Annotated[str | None, typer.Option(help="A branch, tag or commit of the Hub repository.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure.")]
RESULTS = Path("results")
QUICKSTART = Path(__file__).parent / "quickstart"


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        app()
    except (InputError, RunError) as error:
        _fail(error, 2 if isinstance(error, InputError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        _fail(error, 1)


def _fail(error: Exception, status: int) -> None:
    if "--debug" in sys.argv:
        raise error
    print(f"error: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
    if not isinstance(error, (InputError, RunError)):
        print(f"({type(error).__name__}, not foreseen; --debug shows where)", file=sys.stderr)
    sys.exit(status)


# ------------------------------------------------------------------------------------------------ the pipeline


@app.command()
def run(
    recipe: Annotated[Path | None, typer.Argument(help="A recipe; none: the bundled quick start.")] = None,
    data: Data = None,
    results: Results = RESULTS,
    catalog: CatalogOption = None,
    set_: Set = None,
    device: Device = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan: what is reused, what will run.")] = False,
    as_json: Json = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """The whole pipeline: plan, stage one, stage two, zero-shot evaluation, report."""
    from madx.pipeline.recipe import load_recipe

    extra = list(catalog or [])
    if recipe is None:
        recipe, data = QUICKSTART / "recipe.toml", data or QUICKSTART
        extra.append(QUICKSTART)
    loaded = load_recipe(recipe, set_ or [])
    _run_recipe(loaded, _catalogue(extra), data, recipe.parent, results, device, dry_run, as_json, quiet, jobs)


def _catalogue(extra: list[Path]) -> Catalogue:
    from madx.catalog.find import Catalogue

    return Catalogue(*extra)


def _run_recipe(
    recipe: Recipe, catalogue: Catalogue, data: Path | None, beside: Path, results: Path, device: str,
    dry_run: bool = False, as_json: bool = False, quiet: bool = False, jobs: int | None = None,
) -> None:  # fmt: skip
    from madx.pipeline.plan import Planner, check_inputs

    plan = Planner(recipe, catalogue, data, beside).plan()
    session = _session(results, data, device, recipe.trackers)
    if dry_run:
        _print_plan(plan, session, as_json)
        return
    check_inputs(plan, session.store.is_done)
    began = time.perf_counter()
    _execute(plan, session, quiet, jobs)
    from madx.pipeline.run import write_run
    from madx.report.page import write_report

    folder = results / recipe.name
    scores = write_run(plan, session, folder, time.perf_counter() - began)
    page = write_report(folder, scores)
    _print_scores(folder, as_json)
    if not as_json:
        print(f"\nreport: {page}")


def _session(results: Path, data: Path | None, device: str, trackers: tuple[str, ...] = ()) -> Session:
    from importlib.util import find_spec

    from madx.device import choose_device, set_threads
    from madx.stages.session import Session
    from madx.store import Store

    for tracker in trackers:
        if find_spec(tracker) is None:
            raise InputError(f"trackers: '{tracker}' is not installed; pip install 'madx-adapters[{tracker}]'")
    set_threads()
    return Session(Store(results / ".store"), choose_device(device), data, tuple(trackers))


def _execute(plan: Plan, session: Session, quiet: bool, jobs: int | None = 1) -> None:
    """Run the steps with a progress bar, an estimate and one line per finished step."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from madx.pipeline.helpers import helpers, jobs_for
    from madx.pipeline.run import run_plan

    console = Console(stderr=True, quiet=quiet)
    for note in plan.notes:
        console.print(f"note: {note}")
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}"),
    )  # fmt: skip
    reused = 0
    with Bars(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bars:
        bar = bars.add_task("", total=None, numbers="")

        def watch(label: str, done: int, total: int, numbers: dict[str, Any]) -> None:
            text = f"loss {numbers['loss']:.3f}  {numbers['tokens_per_s']:,} tokens/s" if "loss" in numbers else ""
            bars.update(bar, description=label, completed=done, total=total, numbers=text)

        def tell(progress: Progress) -> None:
            nonlocal reused
            at = f"[{progress.number}/{progress.total}] {progress.name}"
            if progress.what == "reused":
                reused += 1
            elif progress.what == "start":
                bars.reset(bar, description=progress.name, total=None, numbers="")
            elif progress.what == "waiting":
                bars.reset(bar, description=f"{progress.name}: another process is making it", total=None, numbers="")
            else:
                by = ", by another process" if progress.what == "made" else ""
                console.print(f"{at}  {progress.seconds:.1f} s{by}", highlight=False)
                for warning in progress.warnings:
                    console.print(f"warning: {warning}", highlight=False)

        session.watch = watch
        try:
            with helpers(plan, session, jobs or jobs_for(plan, session)) as check:
                run_plan(plan, session, tell, check)
        except KeyboardInterrupt:
            print("interrupted; what was finished stays, run the same command to go on", file=sys.stderr)
            raise
    if reused == len(plan.steps):
        console.print(f"everything is reused: all {reused} steps were finished before", highlight=False)
    elif reused:
        console.print(f"{reused} of {len(plan.steps)} steps were reused", highlight=False)


def _train(planner: Planner, steps: Sequence[Step], wanted: Sequence[Step], session: Session, quiet: bool) -> None:
    """Run these steps without a recipe's evaluation; print the folders of the wanted ones."""
    from madx.pipeline.plan import Plan
    from madx.stages.session import step_name

    named = tuple((step_name(step), step) for step in steps)
    _execute(Plan(planner.recipe, planner.encoder, named, (), ()), session, quiet)
    for step in wanted:
        print(session.folder(step))


def _print_plan(plan: Plan, session: Session, as_json: bool) -> None:
    from madx.pipeline.run import estimate

    seconds = estimate(plan, session)
    rows = [
        {"step": name, "status": "to do" if name in seconds else "reused", "seconds": seconds.get(name)}
        for name, _ in plan.steps
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for note in plan.notes:
        print(f"note: {note}")
    for row in rows:
        time_ = (
            f"about {row['seconds']:.0f} s"
            if row["seconds"]
            else ("no estimate yet" if row["status"] == "to do" else "")
        )
        print(f"{row['status']:<7} {row['step']}  {time_}".rstrip())
    known = [s for s in seconds.values() if s]
    print(
        f"{len(seconds)} to do, {len(rows) - len(seconds)} reused; "
        f"about {sum(known) / 60:.0f} min for those with an estimate"
    )


def _print_scores(folder: Path, as_json: bool) -> None:
    from madx.report.tables import adapter_rows, score_table
    from madx.scores.matrix import Matrix
    from madx.scores.rows import read_rows
    from madx.scores.score import Score
    from madx.store import read_json

    scores = read_rows(folder / "scores.csv", Score)
    if as_json:
        print(json.dumps([s.model_dump() for s in scores], indent=2))
        return
    for task in dict.fromkeys(s.task for s in scores):
        matrix = Matrix(scores, task)
        table = score_table(matrix)
        _print_table(
            f"{task} ({matrix.metric}, %)",
            ["target", *table.columns],
            [[n, *r] for n, r in zip(table.index, table.values.tolist(), strict=True)],
        )
    adapters = adapter_rows(read_json(folder / "run.json"))
    if adapters:
        rows = [[str(a["language"]), f"{a['before']:.2f}", f"{a['after']:.2f}"] for a in adapters]
        _print_table("language adapters: masked-LM loss on held-out text", ["language", "before", "after"], rows)


def _print_table(title: str, header: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i == 0 else "right", no_wrap=i == 0)
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


@language_app.command("train")
def language_train(
    codes: Annotated[list[str], typer.Argument(help="Languages, e.g. fao quy.")],
    model: Annotated[str, typer.Option(help="Encoder.")] = "mini",
    text: Annotated[list[Path] | None, typer.Option(help="Own text files (one language).")] = None,
    data: Data = None,
    results: Results = RESULTS,
    catalog: CatalogOption = None,
    set_: Set = None,
    device: Device = "auto",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Stage one for one or more languages. Prints the adapters' folders."""
    from madx.pipeline.plan import Planner
    from madx.pipeline.recipe import recipe_from

    if text and len(codes) > 1:
        raise InputError("--text belongs to one language; give one code")
    base: dict[str, Any] = {"name": "language", "model": model, "tasks": ["none"], "targets": codes}
    if text:
        base["text"] = {codes[0]: [str(path) for path in text]}
    recipe = recipe_from(base, "command line", set_ or [])
    planner = Planner(recipe, _catalogue(list(catalog or [])), data, Path.cwd())
    stages = [planner.language_stage(planner.language(code).code) for code in codes]
    steps = [*(s.text for s in stages if hasattr(s, "text")), *stages]
    _train(planner, steps, stages, _session(results, data, device, recipe.trackers), quiet)


@task_app.command("train")
def task_train(
    task: Annotated[str, typer.Argument(help="A task of the catalogue.")],
    model: Annotated[str, typer.Option(help="Encoder.")] = "mini",
    source: Annotated[str, typer.Option(help="Source language.")] = "eng",
    method: Annotated[str, typer.Option(help="madx, tlr, task-only, full.")] = "madx",
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
    data: Data = None,
    results: Results = RESULTS,
    catalog: CatalogOption = None,
    set_: Set = None,
    device: Device = "auto",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Stage two on the source language, over its language adapter. Prints the folders."""
    from madx.methods.grid import GRID
    from madx.pipeline.plan import Planner
    from madx.pipeline.recipe import recipe_from

    base = {
        "name": "task",
        "model": model,
        "tasks": [task],
        "source": source,
        "targets": [],
        "methods": [method],
        "seeds": [seed],
    }
    recipe = recipe_from(base, "command line", set_ or [])
    planner = Planner(recipe, _catalogue(list(catalog or [])), data, Path.cwd())
    stage = planner.task_stage(planner.catalogue.task(task), GRID[method], planner.language(source).code, [], seed)
    for labelled in (*stage.train, *stage.dev):
        labelled.load()
    steps = [*(a.text for a in stage.below if hasattr(a, "text")), *stage.below, stage]
    _train(planner, steps, [stage], _session(results, data, device, recipe.trackers), quiet)


@app.command()
def evaluate(
    task: Annotated[str, typer.Argument(help="A task of the catalogue.")],
    target: Annotated[list[str], typer.Option("--target", help="Target language. Repeatable; 'all'.")],
    model: Annotated[str, typer.Option(help="Encoder.")] = "mini",
    source: Annotated[str, typer.Option(help="Source language.")] = "eng",
    method: Annotated[list[str] | None, typer.Option("--method", help="Of the control grid. Repeatable.")] = None,
    adapter: Annotated[list[str] | None, typer.Option("--adapter", help="LANGUAGE=DIR: a ready-made one.")] = None,
    data: Data = None,
    results: Results = RESULTS,
    catalog: CatalogOption = None,
    set_: Set = None,
    device: Device = "auto",
    as_json: Json = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Stage three, from trained or ready-made adapters; what is missing is trained first."""
    from madx.pipeline.recipe import recipe_from

    base: dict[str, Any] = {
        "name": f"evaluate-{task}", "model": model, "tasks": [task], "source": source,
        "targets": "all" if target == ["all"] else target, "methods": method or ["madx"],
        "language_adapters": dict(a.split("=", 1) for a in adapter or [] if "=" in a),
    }  # fmt: skip
    recipe = recipe_from(base, "command line", set_ or [])
    _run_recipe(recipe, _catalogue(list(catalog or [])), data, Path.cwd(), results, device, False, as_json, quiet, jobs)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A run's folder, e.g. results/quickstart.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Rebuild scores.csv and the report from a run's predictions alone."""
    from madx.pipeline.run import score_run
    from madx.report.page import write_report

    if not (folder / "run.json").exists():
        raise InputError(f"{folder}: no run.json; is this a run's folder?")
    page = write_report(folder, score_run(folder))
    _print_scores(folder, as_json)
    if not as_json:
        print(f"\nreport: {page}")


@app.command()
def predict(
    task: Annotated[str, typer.Argument(help="A task that a run has trained.")],
    language: Annotated[str, typer.Option("--language", help="The text's language.")],
    file: Annotated[Path | None, typer.Argument(help="Text; none: standard input.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="The run's recipe; none: the quick start's.")] = None,
    method: Annotated[str, typer.Option(help="madx, tlr, source-adapter, ...")] = "madx",
    seed: Annotated[int | None, typer.Option(help="Which seed's adapter; none: the recipe's first.")] = None,
    data: Data = None,
    results: Results = RESULTS,
    catalog: CatalogOption = None,
    set_: Set = None,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Label text with a trained task adapter and the language's adapter."""
    from madx.corpora.documents import read_lines
    from madx.pipeline.plan import Planner
    from madx.pipeline.predict import label
    from madx.pipeline.recipe import load_recipe

    extra = list(catalog or [])
    if recipe is None:
        recipe, data = QUICKSTART / "recipe.toml", data or QUICKSTART
        extra.append(QUICKSTART)
    planner = Planner(load_recipe(recipe, set_ or []), _catalogue(extra), data, recipe.parent)
    session = _session(results, data, device)
    if file is not None and not file.exists():
        raise InputError(f"{file}: no such file")
    lines = (line for _, line in read_lines(file)) if file else (line.rstrip("\n") for line in sys.stdin)
    for out in label(planner, session, task, language, method, seed, lines):
        sys.stdout.write(out)


# ------------------------------------------------------------------------------------------------ the catalogue


@app.command()
def languages(catalog: CatalogOption = None, as_json: Json = False, debug: Debug = False) -> None:
    """What the catalogue knows of languages."""
    every = _catalogue(list(catalog or [])).languages
    if as_json:
        print(
            json.dumps([language.model_dump(mode="json") for language in every.values()], ensure_ascii=False, indent=1)
        )
        return
    for code, language in every.items():
        print(
            "\t".join([code, language.name, language.script, " > ".join(language.family), ",".join(language.seen_by)])
        )


@app.command()
def tasks(catalog: CatalogOption = None, as_json: Json = False, debug: Debug = False) -> None:
    """What the catalogue knows of tasks."""
    catalogue = _catalogue(list(catalog or []))
    every = [catalogue.task(name) for name in sorted(catalogue.task_files)]
    if as_json:
        print(json.dumps([task.model_dump(mode="json") for task in every], ensure_ascii=False, indent=1))
        return
    for task in every:
        print(
            f"{task.name}\t{task.kind}\t{task.metric}\t{len(task.test_languages())} test languages\t{task.description}"
        )


@models_app.callback()
def models(context: typer.Context, as_json: Json = False, debug: Debug = False) -> None:
    """Encoders that are known to work; any of these architectures does, from the Hub or a directory."""
    from madx.encoders.reference import KNOWN

    if context.invoked_subcommand:
        return
    if as_json:
        print(json.dumps(KNOWN, indent=1))
        return
    for name, about in KNOWN.items():
        print(f"{name}\t{about}")


@models_app.command("export")
def models_export(
    model: Annotated[str, typer.Argument(help="An encoder, `mini` for example.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    debug: Debug = False,
) -> None:
    """Write an encoder as a stock transformers folder, in fp32."""
    from madx.encoders.export import export_encoder
    from madx.encoders.reference import resolve_encoder

    export_encoder(resolve_encoder(model), folder)
    print(folder)


@adapters_app.command("list")
def adapters_list(
    place: Annotated[
        list[str] | None,
        typer.Option(
            "--from", help="A place that publishes adapters: OWNER/REPOSITORY, https://... or a folder. Repeatable."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only those made for this encoder.")] = None,
    results: Results = RESULTS,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Which languages and tasks have an adapter: trained or imported here, and published."""
    from madx.encoders.reference import resolve_encoder
    from madx.sharing.address import parse_address
    from madx.sharing.fetch import entries_of
    from madx.sharing.index import entry_of

    wanted = resolve_encoder(model) if model else None
    found = [
        (entry_of(folder, folder.name), str(folder))
        for folder in sorted((results / ".store").glob("*-*"))
        if (folder / "done.json").exists() and (folder / "adapter_config.json").exists()
    ]
    for text in place or []:
        address = parse_address(text)
        for entry in entries_of(address):
            inside = "" if entry.path == "." else f"/{entry.path}"
            found.append((entry, f"{address.place}{inside}" + (f"@{address.revision}" if address.revision else "")))
    rows = [
        {"kind": e.kind, "name": e.language or e.task or e.path, "model": e.model or "",
         "held_out_loss": e.held_out_loss, "address": where}
        for e, where in found
        if wanted is None or e.model_digest == wanted.digest or (e.model_digest is None and e.model == wanted.name)
    ]  # fmt: skip
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print("\t".join("" if value is None else str(value) for value in row.values()))


@adapters_app.command("show")
def adapters_show(source: Source, revision: Revision = None, debug: Debug = False) -> None:
    """What an adapter says of itself."""
    from madx.formats.adapterhub import read_json_object
    from madx.sharing.address import parse_address
    from madx.sharing.fetch import fetch

    folder = fetch(parse_address(source, revision))
    for name in ("adapter_config.json", "head_config.json", "madx.json"):
        if (folder / name).exists():
            print(f"{name}:\n{json.dumps(read_json_object(folder / name), indent=2, ensure_ascii=False)}")


@adapters_app.command("pull")
def adapters_pull(
    source: Source,
    to: Annotated[Path, typer.Option("--to", help="The folder to make.")],
    revision: Revision = None,
    debug: Debug = False,
) -> None:
    """Download a published adapter, check it against its digests, and put it into a folder."""
    from madx.formats.manifest import check
    from madx.sharing.address import parse_address
    from madx.sharing.fetch import copy_adapter, fetch

    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError(f"--to {to}: is there already; choose a new folder")
    copy_adapter(fetch(parse_address(source, revision)), to)
    check(to)
    print(to)


@adapters_app.command("push")
def adapters_push(
    folder: Annotated[Path, typer.Argument(help="An adapter's folder.")],
    to: Annotated[str, typer.Argument(help="OWNER/REPOSITORY/NAME@BRANCH on the Hub, or a folder PLACE/NAME.")],
    run: Annotated[
        list[Path] | None, typer.Option("--scores", help="A run's folder whose scores go into the card. Repeatable.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="A new Hub repository is private.")] = False,
    debug: Debug = False,
) -> None:
    """Publish an adapter with its model card, and enter it into the place's index."""
    from madx.sharing.address import parse_address
    from madx.sharing.push import push, scores_of

    scores = [row for path in run or [] for row in scores_of(folder, path)]
    if run and not scores:
        raise InputError(f"--scores {run[0]}: no score there was computed with {folder}")
    print(push(folder, parse_address(to), private, scores))


@adapters_app.command("import")
def adapters_import(
    source: Source,
    to: Annotated[Path, typer.Option("--to", help="Where the adapter goes, in today's format.")],
    model: Annotated[str, typer.Option(help="The encoder that it was made for.")],
    revision: Revision = None,
    debug: Debug = False,
) -> None:
    """Read an adapter, a setup or a fusion in any layout since 2020, check it, write it in today's format.

    A setup or a fusion is a folder on this machine; a fusion's adapters lie beside it.
    """
    _convert(source, revision, to, model, pickle=False)


@adapters_app.command("export")
def adapters_export(
    folder: Annotated[str, typer.Argument(metavar="FOLDER")],
    to: Annotated[Path, typer.Option("--to", help="Where the folder for `adapters` 1.3 goes.")],
    model: Annotated[str, typer.Option(help="The encoder that it was made for.")],
    debug: Debug = False,
) -> None:
    """Write a folder that AdapterHub's `adapters` loads by its defaults: both weight files, head included."""
    _convert(folder, None, to, model, pickle=True)


def _convert(source: str, revision: str | None, to: Path, model: str, pickle: bool) -> None:
    from madx.device import choose_device
    from madx.encoders.encoder import load_encoder
    from madx.encoders.reference import resolve_encoder
    from madx.formats.convert import convert_adapter, convert_fusion, convert_setup
    from madx.formats.fusion import FUSION_CONFIG, SETUP
    from madx.sharing.address import parse_address
    from madx.sharing.fetch import fetch

    address = parse_address(source, revision)
    here = Path(address.place) / address.path
    together = address.kind == "local" and ((here / SETUP).exists() or (here / FUSION_CONFIG).exists())
    folder = here if together else fetch(address)
    encoder = load_encoder(resolve_encoder(model), choose_device("cpu"))
    if (folder / SETUP).exists():
        convert_setup(folder, to, encoder)
    elif (folder / FUSION_CONFIG).exists():
        convert_fusion(folder, to, encoder, pickle)
    else:
        convert_adapter(folder, to, encoder, str(address), pickle)
    print(to)
