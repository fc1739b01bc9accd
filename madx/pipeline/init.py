"""A project from a text file, and labels if there are any: recipe.toml with comments, languages/ and tasks/."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Collection, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import regex
import tomli_w

from madx.catalog.find import Catalogue, packaged
from madx.catalog.language import CODE, Language, TextSource
from madx.catalog.task import read_task
from madx.config import InputError
from madx.corpora.clean import Cleaner
from madx.corpora.documents import documents, files_of
from madx.corpora.health import ENOUGH, Health, by_tokenizer
from madx.encoders.reference import resolve_encoder
from madx.foreign import read_toml
from madx.pipeline.project import QUICKSTART
from madx.tasks.examples import UnknownLabel
from madx.tasks.kinds import kind_of
from madx.writing import new_folder, write_text

SAMPLE = 2000  # lines that the language is told by
LOOKED_AT = 300  # and by which what the tokenizer makes of it
SOURCE, ENGLISH = "eng", "quickstart-eng.txt"


class Made(NamedTuple):
    """What was written, what was found, and what is missing."""

    folder: Path
    language: Language
    in_catalogue: bool
    guessed: bool  # the language, by lingua
    words: int
    lines: int
    tokens: Tokens | None  # None: the encoder isn't on this machine
    missing: list[str]


class Tokens(NamedTuple):
    """What the encoder's tokenizer makes of the text's first lines, and of the bundled English."""

    text: Health
    english: Health


class Labels(NamedTuple):
    """tasks/NAME.toml and the files that it names: their place in the project, and where they are taken from."""

    task: dict[str, Any]
    files: dict[str, Path]
    of_quickstart: bool
    missing: list[str]


def init(
    texts: Sequence[Path], folder: Path | None, language: str | None, name: str | None, task: str, labels: Path | None,
    model: str,
) -> Made:  # fmt: skip
    """`labels`: a test set of the language, as the task reads it. `folder`: None: LANGUAGE-TASK, here.

    Raises InputError; nothing is left then.
    """
    catalogue = Catalogue()
    catalogue.task(task)
    lines, sample = _look(texts)
    words = sum(len(line.split()) for line in sample) * lines // max(1, len(sample))
    about, known = _language(catalogue, language or _told(sample), name, sample)
    labelled = _labels(task, about.code, labels, catalogue)
    tokens = _tokens(model, sample)
    folder = folder or Path(f"{about.code}-{task}")
    with new_folder(folder, "--to DIR") as new:
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
        missing = [f"more English text than the quick start's: text/{ENGLISH} can be replaced", *labelled.missing]
        if known and (found := _script(sample, catalogue)) not in (None, about.script):
            missing.insert(
                0, f"text in its script: {about.name} is {about.script}, these letters are {found}; mistaken?"
            )
        if lines < ENOUGH:
            missing.insert(0, f"more text: {lines:,} lines are very little, adapters were tried from {ENOUGH} on")
        if labelled.files:
            _write(labelled, task, new)
        recipe = _recipe(folder.name, about, own, task, model, words, labelled.of_quickstart)
        write_text(new / "recipe.toml", recipe)
    return Made(folder, about, known, language is None, words, lines, tokens, missing)


def _look(texts: Sequence[Path]) -> tuple[int, list[str]]:
    """How many lines there are after cleaning, and the first of them."""
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
        return catalogue.language(asked, "--language"), True
    except InputError:
        if re.fullmatch(CODE, asked) is None:
            raise
    if name is None:
        raise InputError(f"'{asked}' isn't in the catalogue; say what it is called: --name NAME")
    found = _script(sample, catalogue)
    if found is None:
        raise InputError("the text's script is none of the catalogue's; write languages/CODE.toml yourself")
    return Language(code=asked, name=name, script=found), False


def _script(sample: Sequence[str], catalogue: Catalogue) -> str | None:
    return script_of("".join(sample[:200]), {language.script for language in catalogue.languages.values()})


def script_of(text: str, scripts: Collection[str]) -> str | None:
    """The script with the most letters; kana make it Japanese. None: it is none of these."""

    def letters(*names: str) -> int:
        """How many letters are in these scripts, by Unicode's property Script."""
        return len(regex.findall("[" + "".join(rf"\p{{sc={name}}}" for name in names) + "]", text))

    counts = {script: letters(script) for script in sorted(set(scripts) - {"Jpan"})}
    kana = letters("Hira", "Kana")
    best = max(counts, key=lambda script: counts[script])
    if kana and kana > counts.get("Hani", 0) / 20 and kana + counts.get("Hani", 0) >= counts[best]:
        return "Jpan"
    return best if counts[best] else None


def _labels(name: str, code: str, labels: Path | None, catalogue: Catalogue) -> Labels:
    """The labels that are at hand: the quick start's English ones and the language's own test set.

    Raises InputError where `labels` isn't what the project's task reads: as it will be written, not the catalogue's.
    """
    bundled, files, own = QUICKSTART / "tasks" / f"{name}.toml", dict[str, Path](), dict[str, dict[str, str]]()
    plain = read_toml(bundled if bundled.exists() else catalogue.task_files[name])
    missing = [f"English labels for '{name}': --data DIR, or a network for the Hub's"]
    if bundled.exists():
        plain.pop("label_column", None)  # of the quick start's files; another's labels may stand elsewhere
        own[SOURCE] = {split: f"labels/{file}" for split, file in plain["data"][SOURCE].items()}
        files = {place: QUICKSTART / Path(place).name for place in own[SOURCE].values()}
        plain["data"] = {}
        missing = [
            f"more English labels than the quick start's 300 sentences: delete tasks/{name}.toml and give --data DIR "
            "or a network, and the catalogue's are taken"
        ]
    plain |= _own_names(catalogue.task_files[name])
    if labels is not None:
        spec = read_task(Path("tasks") / f"{name}.toml", plain)
        try:
            if not kind_of(spec).read(labels, spec).examples:
                raise InputError(f"{labels}: no examples")
        except UnknownLabel as error:
            raise InputError(f"{error} (Tags of your own: docs/own-language.md, step 2)") from None
        place = f"labels/{labels.name}" if f"labels/{labels.name}" not in files else f"labels/{code}-{labels.name}"
        files[place], own[code] = labels, {"test": place}
    elif bundled.exists() or code not in catalogue.task(name).test_languages():
        missing.append(
            "a test set in the language: without one there is no score, only predictions; init's --labels FILE, "
            f'or later [data.{code}] test = "FILE" in tasks/{name}.toml'
        )
    plain["data"] = {**plain.get("data", {}), **own}
    return Labels(plain, files, bundled.exists(), missing)


def _own_names(path: Path) -> dict[str, Any]:
    """What a person's own file of a task, which stands for the catalogue's, calls the task's labels."""
    plain = {} if path.parent == packaged() / "tasks" else read_toml(path)
    return {key: plain[key] for key in ("read_as", "label_column", "columns") if key in plain}


def _write(labels: Labels, task: str, new: Path) -> None:
    (new / "labels").mkdir()
    (new / "tasks").mkdir()
    for place, given in labels.files.items():
        shutil.copyfile(given, new / place)
    write_text(new / "tasks" / f"{task}.toml", tomli_w.dumps(labels.task))


def _tokens(model: str, sample: Sequence[str]) -> Tokens | None:
    """None for an encoder of the Hub: a project is made without a network, and `madx check` looks at it."""
    if model != "mini" and not Path(model).is_dir():
        return None
    from madx.encoders.load import tokenizer_of

    tokenizer = tokenizer_of(resolve_encoder(model))
    _, english = _look([QUICKSTART / "eng.txt"])
    return Tokens(by_tokenizer(sample[:LOOKED_AT], tokenizer), by_tokenizer(english[:LOOKED_AT], tokenizer))


def _recipe(
    name: str, language: Language, texts: Sequence[str], task: str, model: str, words: int, of_quickstart: bool
) -> str:
    files = ", ".join(f'"{text}"' for text in texts)
    return f"""# {language.name} ({language.code}): {words:,} words of text.
# `madx check` says what this will do, `madx run` does it.
name = "{name}"
model = "{model}"                  # bundled and small: "mini"; larger: "FacebookAI/xlm-roberta-base" (Hub)
tasks = ["{task}"]
source = "{SOURCE}"                   # where the labels are
targets = ["{language.code}"]
# what madx scores above no-language-adapter, the same without your language's adapter, is what your text is worth;
# task-only has no language adapters at all
methods = ["madx", "no-language-adapter", "task-only"]
seeds = [1]                      # [1, 2, 3] for a figure that you publish

[text]
{language.code} = [{files}]
{SOURCE} = ["text/{ENGLISH}"]          # the quick start's; delete the line for the catalogue's (--data DIR, or the Hub)

[text_licence]                   # for the card of the adapter, said before training: "CC BY 4.0", "not to be shared"
{language.code} = "unknown"

[language_adapter]               # stage one
{_of_text(words)}
[task_adapter]                   # stage two
{_of_labels(of_quickstart)}"""


def _of_text(words: int) -> str:
    """Stage one's settings, by how much text there is, and why."""
    if words < 10_000:
        why = "# very little text: few small updates at a high rate, as in the quick start\n"
        return why + _quick("language_adapter")
    if words < 50_000:  # as in results/pos-400
        steps, tokens, rate, why = 400, 1024, "2e-3", "little text: few small updates, before it is learnt by heart"
    elif words < 500_000:
        steps, tokens, rate, why = 1500, 2048, "1e-3", "some text: small updates at a high rate"
    else:
        steps, tokens, rate = 6000, 4096, "5e-4"
        why = "much text; with a GPU and days, MAD-X's own: 100000 of 16384 at 1e-4"
    return f"# {why}\nsteps = {steps}\nbatch_tokens = {tokens}\nlearning_rate = {rate}\nmax_length = 128\n"


def _of_labels(of_quickstart: bool) -> str:
    """Stage two's settings, by how many labels the source has, and why: what counts is the number of updates.

    At a tenth of the rate, or a quarter, 300 sentences end far below what they can teach: English POS at 58, not 84
    to 94. Thousands are many updates an epoch: English POS of 12,500 is at 91 after one at 1e-3 (results/pos).
    """
    if of_quickstart:
        return (
            "# 300 sentences with labels: a high rate, as in the quick start; with thousands: epochs = 1 at 1e-3\n"
            + _quick("task_adapter")
        )
    return "# thousands of labels: few epochs; with some hundred only: epochs = 10\nepochs = 3\nlearning_rate = 1e-3\n"


def _quick(table: str) -> str:
    """What the quick start itself is trained with."""
    return tomli_w.dumps(read_toml(QUICKSTART / "recipe.toml")[table])
