"""paper/: what a paper takes from a run: LaTeX tables, figures, BibTeX, a methods paragraph, ARR's checklist."""

from collections.abc import Sequence
from pathlib import Path

from madx.foreign import inside, markdown_text
from madx.report.charts import gains, heat_map, profile
from madx.report.citations import bibtex, citations
from madx.report.costs import Cost, known
from madx.report.data import Statistics
from madx.report.run_file import RunFile
from madx.report.tables import difference_table, latex, latex_text, reference_of, row_name, score_table
from madx.scores.matrix import Matrix
from madx.writing import write_bytes, write_text


def write_paper(
    folder: Path, run: RunFile, matrices: Sequence[Matrix], statistics: Statistics, costs: Sequence[Cost]
) -> None:
    """Files for \\input, \\includegraphics and \\bibliography; main.tex shows them all."""
    paper = inside(folder, folder / "paper")
    paper.mkdir(exist_ok=True)

    def write(name: str, content: str) -> None:
        write_text(inside(folder, paper / name), content)

    shown: list[tuple[bool, list[str]]] = []
    for matrix in matrices:
        number = len(shown)  # names of tasks may hold what LaTeX can't have in a file's name
        write(f"scores-{number}.tex", _scores(run, matrix, number))
        differences = difference_table(run, statistics.differences, matrix)
        if differences is not None:
            caption = (
                f"{matrix.task}: points above or below {reference_of(matrix)}, 95 % intervals; "
                "* beyond doubt (Holm, p < 0.05)."
            )
            write(f"differences-{number}.tex", _float(latex(differences), caption, f"differences-{number}"))
        figures = _figures(run, matrix, statistics)
        for name, svg in figures.items():
            write_bytes(inside(folder, paper / f"{name}-{number}.pdf"), pdf(svg))
        shown.append((differences is not None, list(figures)))
    found = citations(run)
    write("references.bib", bibtex(found))
    write("methods.tex", _methods(run, [citation.key for citation in found]))
    write("main.tex", _main(shown))
    write("checklist.md", checklist(run, matrices, costs))


def pdf(svg: str) -> bytes:
    """The same figure as PDF."""
    import vl_convert

    return vl_convert.svg_to_pdf(svg)  # type: ignore[no-any-return]


def _float(table: str, caption: str, label: str) -> str:
    return (
        "\\begin{table*}\n\\centering\\small\n\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n"
        f"{table}}}\n\\caption{{{latex_text(caption)}}}\n\\label{{tab:{label}}}\n\\end{{table*}}\n"
    )


def _scores(run: RunFile, matrix: Matrix, number: int) -> str:
    caption = (
        f"{matrix.task}: {matrix.metric} in percent, mean over {matrix.seeds} seed{'s' if matrix.seeds > 1 else ''}, "
        "with the 95 % bootstrap interval of the test set."
    )
    return _float(latex(score_table(run, matrix)), caption, f"scores-{number}")


def _figures(run: RunFile, matrix: Matrix, statistics: Statistics) -> dict[str, str]:
    names = {target: row_name(run, matrix, target) for target in matrix.rows}
    found = {"scores": heat_map(matrix, names)}
    paired = [
        row
        for row in statistics.differences
        if (row.task, row.baseline) == (matrix.task, reference_of(matrix)) and row.target not in matrix.sources
    ]
    if paired:
        found["gains"] = gains(paired, names)
    points = [point for point in statistics.profiles if point.task == matrix.task]
    if points:
        found["profile"] = profile(points)
    return found


def _methods(run: RunFile, keys: list[str]) -> str:
    """A paragraph in plain words. Numbers are the run's; hyper-parameters stand in checklist.md."""
    seeds = sorted({cell.seed for cell in run.cells})
    targets = sorted({cell.target for cell in run.cells} - set(run.sources))
    said = [
        f"We transfer zero-shot from {_named(run, run.sources)} to {len(targets)} languages with {run.model.name}.",
        *(f"{method}: {words}." for method, words in run.legend.items()),
        f"Each method is trained with {len(seeds)} seed{'s' if len(seeds) > 1 else ''}.",
        f"Intervals are 95 % percentile intervals of {run.bootstrap} bootstrap resamples: of the test set's sentences "
        "for a score, of seeds and sentences, paired, for a difference, and of languages "
        "too for means over five or more.",
        "Tests on several targets are corrected after Holm.",
    ]
    return latex_text(" ".join(said)) + "\n\\nocite{" + ",".join(keys) + "}\n"


def _named(run: RunFile, codes: Sequence[str]) -> str:
    return " and ".join(run.called(code) for code in codes)


def _main(shown: list[tuple[bool, list[str]]]) -> str:
    lines = [
        r"\documentclass{article}",
        r"\usepackage[T1]{fontenc}\usepackage[utf8]{inputenc}\usepackage{booktabs,graphicx,textcomp,url}",
        r"\begin{document}",
        r"\input{methods}",
    ]
    for number, (differences, figures) in enumerate(shown):
        lines.append(rf"\input{{scores-{number}}}")
        lines += [rf"\input{{differences-{number}}}"] if differences else []
        lines += [
            rf"\begin{{figure*}}\centering\includegraphics[width=.8\linewidth]{{{name}-{number}.pdf}}\end{{figure*}}"
            for name in figures
        ]
    return "\n".join([*lines, r"\bibliographystyle{plain}\bibliography{references}", r"\end{document}"]) + "\n"


def checklist(run: RunFile, matrices: Sequence[Matrix], costs: Sequence[Cost]) -> str:
    """The items of ACL Rolling Review's checklist that a run knows of; the others stay for the authors."""
    seconds = sum(step.seconds for step in run.steps.values())
    memory = max((step.memory_mb or 0 for step in run.steps.values()), default=0)
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    dev = [f"{name} {step.dev:.1f}" for name, step in run.steps.items() if step.dev is not None]
    sources = {f"{s.name} ({s.licence})" for text in run.texts.values() for s in text.sources}
    labels = {f"{task}: {s.name} ({s.licence})" for task, s in run.licences.items()}
    sizes = [f"{m.task} {t} {m.about(t).sentences}" for m in matrices for t in [*m.targets, *m.sources]]
    items = [
        ("B1 Creators cited", "references.bib has an entry for every data set, encoder and method that madx knows of."),
        ("B2 Licences", "; ".join(sorted(labels | sources)) or "not in run.json"),
        ("B3 Intended use", "for the authors: is the use of the data within its licences?"),
        ("B4 Personal information", "for the authors: madx doesn't look for it."),
        ("B5 Documentation of data", ", ".join(f"{run.called(code)} ({code})" for code in run.languages)),
        ("B6 Statistics of data", "test sentences: " + "; ".join(sizes)),
        (
            "C1 Parameters, budget, infrastructure",
            f"encoder {run.model.name}; "
            + "; ".join(f"{c.task} {c.method}: {known(c.parameters)} trained" for c in costs)
            + f"; all steps {seconds:,.0f} s on {run.devices} ({run.host.machine}, Python "
            f"{run.host.python}), at most {memory:,.0f} MB",
        ),
        (
            "C2 Setup and hyper-parameters",
            "; ".join(f"{key} = {value}" for key, value in run.settings.items())
            + ". Nothing of a target's labels is used for a choice: the checkpoint is chosen on the source's dev set"
            + (f" (its scores: {'; '.join(dev)})" if dev else ""),
        ),
        (
            "C3 Descriptive statistics",
            f"seeds {', '.join(str(s) for s in sorted({c.seed for c in run.cells}))}; 95 % bootstrap intervals of "
            f"{run.bootstrap} resamples; spread over seeds in summary.csv",
        ),
        ("C4 Packages", versions),
        ("D, E Annotators, AI assistants", "for the authors."),
    ]
    lines = [f"- **{name}.** {markdown_text(text)}" for name, text in items]
    return "# Reproducibility checklist (ACL Rolling Review), from run.json\n\n" + "\n".join(lines) + "\n"
