"""The shared data's text, without what is non-commercial: running text by language, and translation pairs."""

import csv
import gzip
import random
from pathlib import Path


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def lines_of(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        return [line.rstrip("\n") for line in file]


def languages(data: Path, seen: bool = False) -> dict[str, list[str]]:
    """Codes and text files of the languages that have text; with `seen`, of those that XLM-R, and so E5, covers."""
    table = {r["lang"]: r for r in rows(data / "LANGUAGES.tsv") if r["text_files"]}
    return {code: r["text_files"].split(";") for code, r in table.items() if not seen or r["in_xlmr"] == "yes"}


def text_of(data: Path, language: str) -> list[str]:
    """Every commercially usable sentence of a language, without repeats, in a fixed random order."""
    excluded = [
        (int(m["first_line"]), int(m["last_line"]))
        for m in rows(data / "corpora" / "MANIFEST.tsv")
        # treebanks are left out too: some of them are non-commercial
        if m["lang"] == language and ("NC" in m["licence"] or m["source"] == "ud-train")
    ]
    sentences: dict[str, None] = {}
    for name in languages(data)[language]:
        spans = excluded if name.startswith("corpora/") else []
        for number, line in enumerate(lines_of(data / name), 1):
            if line.strip() and not any(first <= number <= last for first, last in spans):
                sentences[line] = None
    shuffled = list(sentences)
    random.Random(language).shuffle(shuffled)
    return shuffled


def parallel_text(data: Path) -> dict[str, list[str]]:
    """NTREX: by language, line i is the same sentence in each; seen languages only."""
    found = {}
    for code, names in languages(data, seen=True).items():
        files = [name for name in names if name.startswith("parallel/ntrex/")]
        if files:
            found[code] = lines_of(data / files[0])
    return found
