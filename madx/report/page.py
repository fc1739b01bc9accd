"""The report of a run: report.md, tables/, plots/ and one self-contained page."""

from pathlib import Path

import jinja2

from madx.foreign import inside, markdown_text
from madx.report.charts import heat_map
from madx.report.run_file import read_run
from madx.report.tables import (
    adapter_rows,
    difference_table,
    latex,
    markdown,
    score_table,
    unlabelled_table,
)
from madx.scores.matrix import Matrix
from madx.scores.paired import BASELINE, Difference
from madx.scores.rows import read_rows
from madx.scores.score import Score
from madx.store import write_text

UNLABELLED = (
    "They have no test set, so no score. An adapter that lowers the masked-LM loss on held-out text has learnt from its "
    "text; how well the task transfers, only labels can tell. `madx predict` labels new text."
)
PAGE = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ name }} – madx</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } th, td { padding: .25rem .7rem; text-align: right }
th:first-child, td:first-child { text-align: left } thead { border-bottom: 2px solid #222 }
tbody tr:nth-child(even) { background: #f4f4f4 } tbody tr:last-child.mean { border-top: 1px solid #222 }
.wide { overflow-x: auto } footer { color: #666; margin-top: 3rem }
</style></head><body>
<h1>{{ name }}</h1>
<p>Zero-shot transfer from <b>{{ source }}</b> on <b>{{ model }}</b>. Scores in percent: mean over seeds {{ seeds }}
± standard deviation over seeds (with one seed: half the 95 % bootstrap interval). The source language is not part of
the means.</p>
{% macro table(frame, last = "") %}
<div class="wide"><table><thead><tr><th>target</th>{% for m in frame.columns %}<th>{{ m }}</th>{% endfor %}</tr></thead><tbody>
{% for row in frame.itertuples() %}
<tr{% if loop.last and last %} class="{{ last }}"{% endif %}>{% for value in row %}<td>{{ value }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% endmacro %}
{% for task in tasks %}
<h2>{{ task.name }} <small>({{ task.metric }})</small></h2>
<div class="wide">{{ task.chart | safe }}</div>
{{ table(task.table, "mean") }}
{% if task.differences is not none %}
<h3>Above {{ baseline }}</h3>
<p>Difference in percentage points, mean over seeds, with its 95 % interval: paired over seeds and sentences.</p>
{{ table(task.differences, "mean") }}
{% endif %}
{% endfor %}
{% if unlabelled is not none %}
<h2>Targets without labels</h2>
<p>{{ about_unlabelled }}</p>
{{ table(unlabelled) }}
{% endif %}
{% if adapters %}
<h2>Language adapters</h2>
<p>Masked-LM loss (nats) on held-out text, before and after stage one.</p>
<table><thead><tr><th>language</th><th>before</th><th>after</th><th>tokens</th><th>seconds</th></tr></thead><tbody>
{% for a in adapters %}
<tr><td>{{ a.language }}</td><td>{{ "%.2f" | format(a.before) }}</td><td>{{ "%.2f" | format(a.after) }}</td><td>{{ "{:,}".format(a.tokens) }}</td><td>{{ "%.0f" | format(a.seconds) }}</td></tr>
{% endfor %}
</tbody></table>
{% endif %}
<footer>madx {{ version }}, {{ host }}. Rebuild with <code>madx report</code> from scores.csv and predictions/.</footer>
</body></html>
""")


def write_report(folder: Path, scores: list[Score]) -> Path:
    """All forms of the report, from the scores and run.json; returns the page's path."""
    run = read_run(folder)
    for sub in ("tables", "plots"):
        inside(folder, folder / sub).mkdir(exist_ok=True)
    tasks = []
    paired = read_rows(folder / "differences.csv", Difference)
    text = [f"# {run.name}\n\nZero-shot transfer from {run.source} on {markdown_text(run.model.name)}, in percent.\n"]
    for name in dict.fromkeys(score.task for score in scores):
        matrix = Matrix(scores, name)
        table, chart = score_table(matrix), heat_map(matrix)
        above = difference_table([row for row in paired if row.task == name], matrix)
        tasks.append({"name": name, "metric": matrix.metric, "table": table, "chart": chart, "differences": above})
        text.append(f"\n## {name} ({matrix.metric})\n\n{markdown(table)}")
        if above is not None:
            text.append(
                f"\nAbove {BASELINE}, percentage points with their 95 % intervals, paired over seeds and sentences:\n\n"
                f"{markdown(above)}"
            )
        write_text(inside(folder, folder / "tables" / f"{name}.tex"), latex(table))
        write_text(inside(folder, folder / "plots" / f"{name}.svg"), chart)
    adapters = adapter_rows(run)
    if adapters:
        text.append(
            "\n## Language adapters\n\nMasked-LM loss on held-out text.\n\n| language | before | after |\n|---|--:|--:|\n"
        )
        text += [f"| {markdown_text(str(a['language']))} | {a['before']:.2f} | {a['after']:.2f} |\n" for a in adapters]
    unlabelled = unlabelled_table(run)
    if unlabelled is not None:
        text.append(f"\n## Targets without labels\n\n{UNLABELLED}\n\n{markdown(unlabelled)}")
    write_text(inside(folder, folder / "report.md"), "".join(text))
    page = PAGE.render(
        name=run.name, source=run.source, model=run.model.name, tasks=tasks, adapters=adapters,
        baseline=BASELINE, unlabelled=unlabelled, about_unlabelled=UNLABELLED,
        seeds=", ".join(str(s) for s in sorted({s.seed for s in scores})),
        version=run.versions.get("madx-adapters", ""), host=f"Python {run.host.python} on {run.host.machine}",
    )  # fmt: skip
    write_text(inside(folder, folder / "report.html"), page)
    return folder / "report.html"
