"""The command `madx`: parse, call, print. Every heavy import is inside a command."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import madx
from madx.cli import (
    adapters,
    before,
    catalogue,
    curve,
    drop,
    export,
    personal,
    pipeline,
    predict,
    prune,
    search,
    status,
    store,
    train,
)
from madx.config import InputError, RunError, first_line, named
from madx.foreign import printable
from madx.writing import refused


class Commands(TyperGroup):
    """Typer takes any EOFError for somebody who has closed a prompt; here it is a file that ends too early."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise RunError(f"a file ended too early: {first_line(error)}") from error


SHORT_HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    cls=Commands,
    help="Language adapters: train, transfer, evaluate (MAD-X).", no_args_is_help=True, pretty_exceptions_enable=False,
    context_settings=SHORT_HELP,
)  # fmt: skip
language_app = typer.Typer(help="Stage one.", no_args_is_help=True)
task_app = typer.Typer(help="Stage two.", no_args_is_help=True)
adapters_app = typer.Typer(help="Adapters as things to share.", no_args_is_help=True)
app.add_typer(language_app, name="language")
app.add_typer(task_app, name="task")
app.add_typer(adapters_app, name="adapters")
store_app = typer.Typer(help="The store of finished steps.", no_args_is_help=True)
app.add_typer(store_app, name="store")
models_app = typer.Typer(invoke_without_command=True)
app.add_typer(models_app, name="models")


def _print_version(asked: bool) -> None:
    if asked:
        print(f"madx {madx.__version__}")
        raise typer.Exit


@app.callback()
def everywhere(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Language adapters: train, transfer, evaluate (MAD-X)."""


COMMANDS: list[Callable[..., None]] = [
    pipeline.run, pipeline.evaluate, pipeline.report, pipeline.compare, pipeline.doctor, status.status, predict.predict,
    predict.serve, personal.personal, export.export, drop.drop, prune.prune, curve.curve, search.search,
    before.check, before.init, catalogue.languages, catalogue.tasks,
]  # fmt: skip
for command in COMMANDS:
    app.command()(command)
models_app.callback()(catalogue.models)
models_app.command("export")(catalogue.models_export)
language_app.command("train")(train.language_train)
task_app.command("train")(train.task_train)
store_app.command("list")(store.store_list)
store_app.command("size")(store.store_size)
store_app.command("verify")(store.store_verify)
store_app.command("prune")(store.store_prune)
adapters_app.command("list")(adapters.adapters_list)
adapters_app.command("show")(adapters.adapters_show)
adapters_app.command("pull")(adapters.adapters_pull)
adapters_app.command("push")(adapters.adapters_push)
adapters_app.command("import")(adapters.adapters_import)
adapters_app.command("export")(adapters.adapters_export)


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 failed, 2 wrong input, 130 interrupted, 143 terminated."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        try:
            app()
        finally:
            _flush()
    except (InputError, RunError) as error:
        _fail(error, 2 if isinstance(error, InputError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        _close()
        sys.exit(1)
    except OSError as error:
        _fail(refused(error) if error.filename else error, 1)
    except Exception as error:
        _fail(error, 1)


def _flush() -> None:
    """Write what was printed while a disk that is full can still be told of."""
    try:
        with named("standard output"):
            print(end="", flush=True)
    except OSError:
        _close()
        raise


def _close() -> None:
    """Print no more: Python would try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminated(*_: object) -> None:
    print("terminated; what was finished stays, run the same command to go on", file=sys.stderr)
    sys.exit(143)


def _fail(error: Exception, status: int) -> None:
    if "--debug" in sys.argv:
        raise error
    print(printable(f"error: {' '.join(str(error).split()) or type(error).__name__}"), file=sys.stderr)
    if not isinstance(error, (InputError, RunError, OSError)):
        print(f"({type(error).__name__}, not foreseen; --debug shows where)", file=sys.stderr)
    sys.exit(status)
