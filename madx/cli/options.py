"""The options that commands share, each said once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Recipe = Annotated[Path | None, typer.Argument(help="A recipe or its folder; none: the bundled quick start.")]
Data = Annotated[Path | None, typer.Option("--data", envvar="MADX_DATA", help="Root of the catalogue's files.")]
Results = Annotated[Path, typer.Option("--results", help="Where runs and the store of finished steps go.")]
Shared = Annotated[
    str | None,
    typer.Option(
        "--shared", help="Where machines share finished steps: s3://..., gs://..., file://...: docs/engines.md."
    ),
]
CatalogOption = Annotated[list[Path] | None, typer.Option("--catalog", help="Your own languages/ and tasks/.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a recipe key: key=value. Repeatable.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", min=1, envvar="MADX_JOBS", help="Steps made at once; default: several for small encoders."),
]
Engine = Annotated[
    Literal["local", "ray", "slurm"], typer.Option("--engine", help="Who makes the steps: docs/engines.md.")
]
Address = Annotated[str | None, typer.Option("--address", help="With --engine ray: the cluster to join.")]
JobMinutes = Annotated[
    float,
    typer.Option("--job-minutes", min=0, help="With --engine slurm: work of one allocation; 0: a job for each step."),
]
Processes = Annotated[
    int, typer.Option("--processes", min=1, help="That train one step together, each on a GPU or a share of the cores.")
]
Estimate = Annotated[
    bool, typer.Option("--estimate", help="With --dry-run: time, money and energy on more workers too, simulated.")
]
KeepGoing = Annotated[
    bool, typer.Option("--keep-going", "-k", help="Past a step that fails, with all that doesn't stand on it.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, only results.")]
Source = Annotated[
    str, typer.Argument(help="OWNER/REPOSITORY/NAME@REVISION on the Hub, https://HOST/DIRECTORY, or a folder.")
]
Revision = Annotated[str | None, typer.Option(help="A branch, tag or commit of the Hub repository.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure.")]
RESULTS = Path("results")
