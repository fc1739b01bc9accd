"""Tables by which a reader judges a run: contamination, tokenizer health, data and licences, what words mean."""

import pandas as pd

from madx.corpora.contamination import Contamination
from madx.report.run_file import RunFile, TestOf
from madx.report.tables import adapter_rows
from madx.tasks.metrics import DEFINITIONS

Table = tuple[pd.DataFrame, str, str]  # with the name of its first column and a caption


def trust_tables(run: RunFile) -> list[Table]:
    """Those for which run.json has something."""
    tables: list[Table] = []
    if run.tests:
        tables.append(
            (contamination_table(run), "task and target",
             "Contamination: test sentences that are a line of any training text, case and punctuation apart; and "
             "those of eight words or more (16 characters in scripts without blanks) of which eight in a row do")
        )  # fmt: skip
        tables.append(
            (health_table(run), "task and target", "The encoder's tokenizer on the test sets, as texts without labels")
        )
    if run.texts:
        tables.append((text_table(run), "language", "Text that language adapters were trained on"))
    if run.licences:
        frame = pd.DataFrame(
            {"what": [s.name for s in run.licences.values()], "licence": [s.licence for s in run.licences.values()]},
            index=list(run.licences),
        )
        tables.append((frame, "task", "Labels"))
    return tables


def _name(run: RunFile, test: TestOf) -> str:
    return f"{test.task}, {run.called(test.target)} ({test.target})"


def contamination_table(run: RunFile) -> pd.DataFrame:
    """A row for each test set, and one before them for each task's targets together."""
    tests = [(_name(run, test), test.contamination) for test in run.tests]
    tests.sort(key=lambda row: (-row[1].matched_share, -row[1].overlapping_share))  # the worst first
    for task in dict.fromkeys(test.task for test in run.tests):
        own = [test.contamination for test in run.tests if test.task == task and test.target not in run.sources]
        if len(own) > 1:
            sums = {name: sum(getattr(one, name) for one in own) for name in Contamination.model_fields}
            tests.insert(0, (f"{task}, all {len(own)} targets", Contamination(**sums)))
    found = [contamination for _, contamination in tests]
    return pd.DataFrame(
        {
            "test sentences": [f"{c.sentences:,}" for c in found],
            "the same in training text": [f"{c.matched:,} ({100 * c.matched_share:.1f} %)" for c in found],
            "long enough": [f"{c.long:,}" for c in found],
            "eight words shared": [f"{c.overlapping:,} ({100 * c.overlapping_share:.1f} %)" for c in found],
        },
        index=[name for name, _ in tests],
    )


def health_table(run: RunFile) -> pd.DataFrame:
    found = [test.health for test in run.tests]
    return pd.DataFrame(
        {
            "words": [f"{h.words:,}" for h in found],
            "tokens": [f"{h.tokens:,}" for h in found],
            "unknown tokens": [f"{100 * h.unknown_rate:.2f} %" for h in found],
            "subwords a word": [f"{h.subwords_per_word:.2f}" for h in found],
        },
        index=[_name(run, test) for test in run.tests],
    )


def text_table(run: RunFile) -> pd.DataFrame:
    texts = run.texts.values()
    return pd.DataFrame(
        {
            "tokens there are": [f"{text.tokens:,}" for text in texts],
            "unknown tokens": [f"{100 * text.unknown_rate:.2f} %" for text in texts],
            "subwords a word": [f"{text.subwords_per_word:.2f}" for text in texts],
            "sources and licences": ["; ".join(f"{s.name}: {s.licence}" for s in text.sources) for text in texts],
        },
        index=[f"{run.called(code)} ({code})" for code in run.texts],
    )


def adapter_table(run: RunFile) -> pd.DataFrame | None:
    rows = adapter_rows(run)
    if not rows:
        return None
    return pd.DataFrame(
        {
            "before": [f"{row['before']:.2f}" for row in rows],
            "after": [f"{row['after']:.2f}" for row in rows],
            "tokens trained on": [f"{row['tokens']:,}" for row in rows],
            "seconds": [f"{row['seconds']:.0f}" for row in rows],
        },
        index=[str(row["language"]) for row in rows],
    )


def definitions(run: RunFile, metrics: list[str]) -> list[tuple[str, str]]:
    """Metrics and the statistics' words."""
    words = [(metric, DEFINITIONS[metric] + ".") for metric in metrics if metric in DEFINITIONS]
    return [
        *words,
        ("seen, unseen", "whether the encoder's pretraining had the language, by the catalogue."),
        ("interquartile mean", "the mean of the middle half of all scores, seeds on targets (arXiv 2108.13264)."),
        ("probability of improvement", "how likely a method is above another one, each with a seed of its own, on a "
         "target drawn at random; half is no difference (arXiv 2108.13264)."),
        ("p", "two-sided, bootstrap standard error; on single targets corrected for their number (Holm 1979). With two "
         "or three seeds, or fewer than ten languages, intervals are somewhat narrow: in simulations of means, 87 to "
         "91 % of those that say 95 % held the truth."),
    ]  # fmt: skip
