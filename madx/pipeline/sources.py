"""Where a recipe's texts, parallel texts and ready-made adapters lie: its own files, the catalogue's, or the Hub; named
by their content.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from madx.catalog.find import Catalogue
from madx.catalog.language import Language, TextSource
from madx.config import InputError, file_digest
from madx.corpora.documents import documents, files_of, find_file
from madx.corpora.parallel import ParallelFiles, ParallelText
from madx.encoders.reference import EncoderRef
from madx.formats.manifest import check
from madx.methods.method import Stored
from madx.pipeline.recipe import Recipe
from madx.sharing.address import parse_address
from madx.sharing.fetch import digests_of, fetch
from madx.stages.imported import CHANGES, ImportedAdapter, ImportedChange
from madx.step import AdapterStep


class Sources:
    """The texts of a recipe. A file's digest is computed once."""

    def __init__(self, recipe: Recipe, catalogue: Catalogue, data: Path | None, beside: Path | None) -> None:
        self.catalogue, self.data, self.beside = catalogue, data, beside
        self._own_text = {catalogue.language(k, "text").code: v for k, v in recipe.text.items()}
        self._licences = {catalogue.language(k, "text_licence").code: v for k, v in recipe.text_licence.items()}
        self._own_parallel = {catalogue.language(k, "parallel").code: v for k, v in recipe.parallel.items()}
        self.ready = {catalogue.language(k, "language_adapters").code: v for k, v in recipe.language_adapters.items()}
        self._whole = {catalogue.language(name, "source").code for name in recipe.source}
        self._lines = recipe.text_lines
        self._digests: dict[Path, str] = {}
        self._texts: dict[str, list[TextSource]] = {}

    def text(self, code: str) -> list[TextSource]:
        """A language's text: a recipe's own files; else the catalogue's files; else its first Hub corpus."""
        if code not in self._texts:
            self._texts[code] = self._text(code)
        return self._texts[code]

    def _text(self, code: str) -> list[TextSource]:
        language = self.catalogue.language(code)
        if code in self._own_text:
            return self.own(self._own_text[code], f"text.{code}", self._licences.get(code, "unknown"))
        return [s for s, _ in self._files_there(language)] or [s for s in language.text if s.hub][:1]

    def own(self, names: Sequence[str], key: str, licence: str = "unknown") -> list[TextSource]:
        """Files that a recipe's `key` names; `triples:en:FILE`: the edges of a knowledge graph, in a language."""
        found = []
        for name in names:
            tag, separator, file = name.removeprefix("triples:").partition(":")
            of_graph = name.startswith("triples:") and bool(separator)
            path = str(self._own_file(file if of_graph else name, key))
            found.append(TextSource(file=path, triples=tag if of_graph else None, licence=licence))
        return found

    def ready_made(self, code: str, encoder: EncoderRef, holds: Stored) -> AdapterStep | None:
        """What the recipe names for a language, if it is such a thing: an adapter, or a sparse change on this machine.

        Raises InputError for an adapter of another encoder.
        """
        if code not in self.ready:
            return None
        address = parse_address(self.ready[code], beside=self.beside)
        here = Path(address.place) / address.path
        change = next((here / name for name in CHANGES if address.kind == "local" and (here / name).is_file()), None)
        if (holds == "change") != (change is not None):
            return None
        if change is not None:
            return ImportedChange(encoder=encoder, language=code, folder=str(here), digest=self._digest(change))
        try:
            folder = fetch(address)
            check(folder, encoder.digest)
        except InputError as error:
            raise InputError(f"language_adapters.{code}: {error}") from None
        return ImportedAdapter(
            encoder=encoder, language=code, origin=str(address), folder=str(folder), digests=digests_of(folder)
        )

    def has_lines(self, code: str, count: int) -> bool:
        """Whether a language has so many lines of text to train on; of a Hub corpus it is believed."""
        most = self.at_most(code)
        return count <= most if most is not None else self._has_lines(code, count)

    def at_most(self, code: str) -> int | None:
        """The lines of its text to train on where there are more; None: all."""
        lines = None if code in self._whole else self._lines
        return lines if lines is not None and self._has_lines(code, lines + 1) else None

    def _has_lines(self, code: str, count: int) -> bool:
        sources = self.text(code)
        if any(source.file is None for source in sources):
            return True
        lines = (line for source in sources for line in documents(source, self.data))
        return sum(1 for _ in islice(lines, count)) == count

    def text_digests(self, sources: list[TextSource]) -> tuple[str, ...]:
        """Of the files that there are; of a Hub data set all that is known is its name."""
        digests = []
        for source in sources:
            if source.file is None:
                digests.append(f"{source.hub}/{source.config}@{source.revision}")
            else:
                digests += [self._digest(path) for path in files_of(find_file(source.file, self.data))]
        return tuple(digests)

    def parallel(self, source: str, code: str) -> ParallelText | None:
        """A recipe's own parallel text; else the catalogue's files that both languages have."""
        if code in self._own_parallel:
            left, right = (str(self._own_file(name, f"parallel.{code}")) for name in self._own_parallel[code])
            files = [ParallelFiles(source=left, target=right)]
        else:
            theirs, own = (self._parallel_files(c) for c in (source, code))
            files = [
                ParallelFiles(source=str(theirs[name][1]), target=str(path), name=name, licence=about.licence)
                for name, (about, path) in own.items()
                if name in theirs
            ]
        if not files:
            return None
        digests = [self._digest(Path(path)) for f in files for path in (f.source, f.target)]
        return ParallelText(source=source, target=code, files=tuple(files), digests=tuple(digests))

    def _own_file(self, name: str, key: str) -> Path:
        """A file that a recipe names: beside it, under --data or under the working directory."""
        with suppress(InputError):
            return find_file(name, self.data, self.beside).resolve()
        roots = [str(root) for root in (self.beside, self.data) if root and root.resolve() != Path.cwd()]
        places = ", ".join(dict.fromkeys([*roots, "the working directory"]))
        where = "" if Path(name).is_absolute() else f" in {places}"
        raise InputError(f"{key}: {name}: no such file{where}")

    def _files_there(self, language: Language) -> list[tuple[TextSource, Path]]:
        """The catalogue's text of a language that is on this machine; a person's own lies beside the recipe, maybe."""
        found = []
        for source in language.text:
            if source.file is None:
                continue
            with suppress(InputError):
                path = find_file(source.file, self.data, self.beside)
                if self.beside is not None and path == self.beside / source.file:
                    source = source.model_copy(update={"file": str(path.resolve())})
                found.append((source, path))
        return found

    def _parallel_files(self, code: str) -> dict[str, tuple[TextSource, Path]]:
        """A language's parallel text that is there, by source; the first file of each."""
        found: dict[str, tuple[TextSource, Path]] = {}
        for about, path in self._files_there(self.catalogue.language(code)):
            if about.parallel:
                found.setdefault(about.name, (about, path))
        return found

    def _digest(self, path: Path) -> str:
        if path not in self._digests:
            self._digests[path] = file_digest(path)
        return self._digests[path]
