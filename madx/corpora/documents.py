"""The documents of a text source, one after the other: files, folders and Hub datasets. Nothing is held in memory."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from madx.catalog.language import TextSource
from madx.config import InputError
from madx.corpora import tables, triples
from madx.corpora.hub import HubSplit
from madx.corpora.lines import Source, read_lines, suffix_of
from madx.corpora.romanise import romaniser

SUFFIXES = (".txt", *tables.SUFFIXES)
LONGEST = 1 << 20  # characters; a longer document is cut at a blank, so that one endless line fits in memory
# how what is no running text begins
_MARKUP = {
    '{"': "JSON; name it .jsonl or .json",
    '[{"': "JSON; name it .json",
    "<?xml": "XML; extract its text",
    "<!doctype": "HTML; extract its text",
    "<html": "HTML; extract its text",
    "<doc id=": "WikiExtractor's markup; use its --json",
    "# sent_id": "CoNLL-U; write its '# text =' lines, one a line",
    "# newdoc": "CoNLL-U; write its '# text =' lines, one a line",
}


def find_file(name: str, data: Path | None, beside: Path | None = None) -> Path:
    """A path of the catalogue or a recipe: absolute, beside the recipe, under --data, or in the working directory."""
    path = Path(name).expanduser()
    candidates = [path] if path.is_absolute() else [*(root / path for root in (beside, data) if root), path]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    hint = "" if data else " (no --data DIR was given)"
    raise InputError(f"{name}: no such file{hint}")


def files_of(path: Path) -> list[Path]:
    """The text files of a folder, in order; a file is itself. Raises InputError where there are none."""
    if not path.is_dir():
        return [path]
    files = sorted(p for p in path.rglob("*") if p.is_file() and suffix_of(p) in SUFFIXES)
    if not files:
        raise InputError(f"{path}: no {', '.join(SUFFIXES)} file in this folder, plain or compressed")
    return files


def _documents(path: Path, source: TextSource) -> Iterator[str]:
    if source.triples is not None:
        yield from triples.sentences(path, source.triples)
        return
    if suffix_of(path) in tables.SUFFIXES:
        for where, row in tables.read_rows(path, [source.column]):
            # null: a document that is empty, which cleaning counts
            yield "" if row[source.column] is None else tables.text_of(row, source.column, where)
        return
    first, last = source.lines or (1, None)
    for number, line in read_lines(path):
        if number == 1:
            check_is_text(path, line)
        if last is not None and number > last:
            break
        if number >= first:
            yield line


def check_is_text(path: Source, line: str) -> None:
    """Raises InputError where a file of text begins as one of another format does."""
    for start, what in _MARKUP.items():
        if line[:20].lstrip().lower().startswith(start):
            raise InputError(f"{path}: this is {what}")


def _pieces(document: str) -> Iterator[str]:
    """A document, in pieces where it is too long for one; nothing is lost."""
    start = 0
    while len(document) - start > LONGEST:
        blank = document.rfind(" ", start, start + LONGEST)
        end = blank if blank > start else start + LONGEST
        yield document[start:end]
        start = end
    yield document[start:]


def documents(source: TextSource, data: Path | None) -> Iterator[str]:
    """The documents of one source. A Hub dataset is streamed."""
    written = _as_written(source, data)
    if source.part is not None:
        first, parts = source.part
        written = islice(written, first - 1, None, parts)
    return written if source.romanised is None else map(romaniser(source.romanised), written)


def _as_written(source: TextSource, data: Path | None) -> Iterator[str]:
    if source.file is not None:
        for path in files_of(find_file(source.file, data)):
            for document in _documents(path, source):
                yield from _pieces(document)
        return
    hub = HubSplit(source.hub or "", source.config, source.split, source.revision)
    for number, row in enumerate(hub.stream(), 1):
        where = f"{hub}, row {number}"
        tables.require(row, [source.column], where)
        if row[source.column] is not None:
            yield from _pieces(tables.text_of(row, source.column, where))
        else:
            yield ""
