"""A project from a text file, and labels if there are any: recipe.toml with comments, languages/ and tasks/."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import tomli_w

from madx.catalog.find import Catalogue
from madx.catalog.language import Language
from madx.config import InputError
from madx.corpora.clean import Cleaner
from madx.corpora.documents import documents, files_of
from madx.foreign import read_toml
from madx.pipeline.project import QUICKSTART
from madx.store import new_folder, write_text
from madx.tasks.kinds import kind_of

SAMPLE = 2000  # lines that the language is told by
SOURCE, ENGLISH = "eng", "quickstart-eng.txt"
SCRIPTS = {
    "Latn": r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]", "Cyrl": r"[\u0400-\u052f]", "Grek": r"[\u0370-\u03ff\u1f00-\u1fff]",
    "Arab": r"[\u0600-\u06ff\u0750-\u077f]", "Hebr": r"[\u0590-\u05ff]", "Deva": r"[\u0900-\u097f]",
    "Beng": r"[\u0980-\u09ff]", "Taml": r"[\u0b80-\u0bff]", "Telu": r"[\u0c00-\u0c7f]", "Geor": r"[\u10a0-\u10ff]",
    "Armn": r"[\u0530-\u058f]", "Ethi": r"[\u1200-\u137f]", "Thai": r"[\u0e00-\u0e7f]", "Laoo": r"[\u0e80-\u0eff]",
    "Khmr": r"[\u1780-\u17ff]", "Mymr": r"[\u1000-\u109f]", "Tibt": r"[\u0f00-\u0fff]", "Hang": r"[\uac00-\ud7af]",
    "Jpan": r"[\u3040-\u30ff]", "Hans": r"[\u4e00-\u9fff]",
}  # fmt: skip


class Made(NamedTuple):
    """What was written, what was found, and what is missing."""

    folder: Path
    language: Language
    in_catalogue: bool
    words: int
    lines: int
    missing: list[str]


def init(
    texts: Sequence[Path], folder: Path | None, language: str | None, name: str | None, task: str, labels: Path | None,
    model: str,
) -> Made:  # fmt: skip
    """`labels`: a test set of the language, as the task reads it. `folder`: None: LANGUAGE-TASK, here.

    Raises InputError; nothing is left then.
    """
    catalogue = Catalogue()
    spec = catalogue.task(task)
    lines, sample = _look(texts)
    words = sum(len(line.split()) for line in sample) * lines // max(1, len(sample))
    about, known = _language(catalogue, language or _told(sample), name, sample)
    folder = folder or Path(f"{about.code}-{task}")
    with new_folder(folder) as new:
        own: list[str] = []
        for text in texts:
            for path in files_of(text):
                place = f"text/{path.name}" if f"text/{path.name}" not in own else f"text/{len(own)}-{path.name}"
                (new / "text").mkdir(exist_ok=True)
                shutil.copyfile(path, new / place)
                own.append(place)
        if not known:
            (new / "languages").mkdir()
            plain = {"name": about.name, "script": about.script, "family": list(about.family)}
            write_text(new / "languages" / f"{about.code}.toml", tomli_w.dumps(plain))
        shutil.copyfile(QUICKSTART / "eng.txt", new / "text" / ENGLISH)
        missing = [f"more English text than the quick start's: text/{ENGLISH} can be replaced"]
        missing += _task(new, spec.name, about.code, labels, catalogue)
        write_text(new / "recipe.toml", _recipe(folder.name, about, own, task, model, words))
    return Made(folder, about, known, words, lines, missing)


def _look(texts: Sequence[Path]) -> tuple[int, list[str]]:
    """How many lines there are after cleaning, and the first of them."""
    from madx.catalog.language import TextSource

    clean, count = Cleaner(), 0
    sample: list[str] = []
    for text in texts:
        if not text.exists():
            raise InputError(f"{text}: no such file")
        for document in documents(TextSource(file=str(text.resolve())), None):
            kept = clean(document)
            if kept is not None:
                count += 1
                if len(sample) < SAMPLE:
                    sample.append(kept)
    if not count:
        raise InputError(f"{texts[0]}: no line of text in it, after cleaning")
    return count, sample


def _told(sample: Sequence[str]) -> str:
    """The language by lingua, where that is installed. Raises InputError otherwise, or where it isn't sure."""
    ask = "say which language it is: --language CODE (ISO 639-3; `madx languages` lists those that are known)"
    if find_spec("lingua") is None:
        raise InputError(f"{ask}, or pip install 'madx-adapters[lingua]', which tells 75 of them apart")
    from lingua import LanguageDetectorBuilder

    detector = LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()
    votes = Counter(detector.detect_language_of(" ".join(sample[i : i + 5])) for i in range(0, min(50, len(sample)), 5))
    best, count = votes.most_common(1)[0]
    if best is None or count < 0.6 * sum(votes.values()):
        raise InputError(f"lingua isn't sure about this text; {ask}")
    code: str = best.iso_code_639_3.name
    return code.lower()


def _language(catalogue: Catalogue, asked: str, name: str | None, sample: Sequence[str]) -> tuple[Language, bool]:
    """The catalogue's, or a new one; whether it was known."""
    try:
        return catalogue.language(asked), True
    except InputError:
        if re.fullmatch(r"[a-z]{3}(-[A-Z][a-z]{3})?", asked) is None:
            raise
    if name is None:
        raise InputError(f"'{asked}' isn't in the catalogue; say what it is called: --name NAME")
    return Language(code=asked, name=name, script=script_of("".join(sample[:200]))), False


def script_of(text: str) -> str:
    """The script with the most letters; kana make it Japanese. Raises InputError where it is none of those known."""
    counts = {script: len(re.findall(letters, text)) for script, letters in SCRIPTS.items()}
    if counts["Jpan"] > counts["Hans"] / 20 and counts["Jpan"]:
        return "Jpan"
    best = max(counts, key=lambda script: counts[script])
    if not counts[best]:
        raise InputError("the text's script isn't one that `madx init` knows; write languages/CODE.toml yourself")
    return best


def _task(new: Path, task: str, code: str, labels: Path | None, catalogue: Catalogue) -> list[str]:
    """tasks/NAME.toml with the labels that are at hand: the quick start's English ones and the language's own test set.

    What is missing. Raises InputError where `labels` isn't what the task reads.
    """
    missing, bundled = [], QUICKSTART / "tasks" / f"{task}.toml"
    plain = read_toml(bundled if bundled.exists() else catalogue.task_files[task])
    own: dict[str, dict[str, str]] = {}
    if bundled.exists():
        own[SOURCE] = {split: f"labels/{name}" for split, name in plain["data"][SOURCE].items()}
        plain["data"] = {}
        missing.append(
            f"more English labels than the quick start's 300 sentences: delete tasks/{task}.toml and give --data DIR "
            "or a network, and the catalogue's are taken"
        )
    else:
        missing.append(f"English labels for '{task}': --data DIR, or a network for the Hub's")
    if labels is not None:
        spec = catalogue.task(task)
        kind_of(spec).read(labels, spec)
        own[code] = {"test": f"labels/{labels.name}"}
    elif bundled.exists() or code not in catalogue.task(task).test_languages():
        missing.append("a test set in the language: without one there is no score, only predictions; --labels FILE")
    if own:
        (new / "labels").mkdir()
        (new / "tasks").mkdir()
        for name in {name for splits in own.values() for name in splits.values()}:
            given = labels if labels is not None and name == f"labels/{labels.name}" else QUICKSTART / Path(name).name
            shutil.copyfile(given, new / name)
        plain["data"] = {**plain.get("data", {}), **own}
        write_text(new / "tasks" / f"{task}.toml", tomli_w.dumps(plain))
    return missing


def _recipe(name: str, language: Language, texts: Sequence[str], task: str, model: str, words: int) -> str:
    files = ", ".join(f'"{text}"' for text in texts)
    steps, tokens, rate, why = _settings(words)
    return f"""# {language.name} ({language.code}): {words:,} words of text.
# `madx check` says what this will do, `madx run` does it.
name = "{name}"
model = "{model}"                  # bundled and small: "mini"; larger: "FacebookAI/xlm-roberta-base" (Hub)
tasks = ["{task}"]
source = "{SOURCE}"                   # where the labels are
targets = ["{language.code}"]
# task-only has no language adapter: what madx scores above it is what your text is worth
methods = ["madx", "task-only"]
seeds = [1]                      # [1, 2, 3] for a figure that you publish

[text]
{language.code} = [{files}]
{SOURCE} = ["text/{ENGLISH}"]          # the quick start's; delete the line for the catalogue's (--data DIR, or the Hub)

[language_adapter]               # stage one
{why}
steps = {steps}
batch_tokens = {tokens}
learning_rate = {rate}

[task_adapter]                   # stage two
epochs = 5
learning_rate = 5e-4
"""


def _settings(words: int) -> tuple[int, int, str, str]:
    """By how much text there is: updates, tokens an update, learning rate, and why."""
    for most, settings in (
        (10_000, (80, 512, "2e-3", "# very little text: few small updates at a high rate, as in the quick start")),
        (50_000, (300, 1024, "1e-3", "# little text: few small updates at a high rate, before it is learnt by heart")),
        (500_000, (1500, 2048, "1e-3", "# some text: small updates at a high rate")),
    ):
        if words < most:
            return settings
    return 6000, 4096, "5e-4", "# much text; with a GPU and days, MAD-X's own: 100000 steps of 16384 tokens at 1e-4"
