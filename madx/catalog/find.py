"""Where languages and tasks are looked for: a user's folders first, then the packaged catalogue."""

from functools import cached_property
from operator import eq
from pathlib import Path

from madx.catalog.language import Language, read_language
from madx.catalog.task import TaskSpec, read_task
from madx.config import InputError, nearest
from madx.foreign import read_toml

PACKAGE = Path(__file__).parents[1]


def packaged() -> Path:
    """The folder that holds languages/ and tasks/: inside the wheel, or the repository's root."""
    inside = PACKAGE / "catalogue"
    return inside if inside.is_dir() else PACKAGE.parent


class Catalogue:
    """Languages and tasks by name, alias and code."""

    def __init__(self, *extra: Path) -> None:
        for folder in extra:
            if not folder.is_dir():
                raise InputError(f"--catalog {folder}: no such directory")
        roots = [*extra, Path.cwd(), packaged()]
        self._read: dict[str, Language] = {}
        self.roots = list(dict.fromkeys(root.resolve() for root in roots))

    def _files(self, folder: str) -> dict[str, Path]:
        files: dict[str, Path] = {}
        for root in reversed(self.roots):
            files.update({path.stem: path for path in sorted((root / folder).glob("*.toml"))})
        return files

    @cached_property
    def language_files(self) -> dict[str, Path]:
        return self._files("languages")

    @cached_property
    def task_files(self) -> dict[str, Path]:
        return self._files("tasks")

    @cached_property
    def languages(self) -> dict[str, Language]:
        """All of them, by code."""
        return {code: read_language(path, read_toml(path)) for code, path in sorted(self.language_files.items())}

    @cached_property
    def _aliases(self) -> dict[str, str]:
        table: dict[str, str] = {}
        for code, language in self.languages.items():
            for name in (language.name, *language.aliases):
                table.setdefault(name.lower(), code)
        return table

    def language(self, name: str, key: str | None = None) -> Language:
        """By code, two-letter code, other code or English name. Raises InputError; `key`: of a recipe that names it."""
        path = self.language_files.get(name)
        if path is not None:
            if name not in self._read:
                self._read[name] = read_language(path, read_toml(path))
            return self._read[name]
        code = self._aliases.get(name.lower())
        if code is None:
            where = f"{key}: " if key else ""
            hint = self._nearest_language(name) or "."
            raise InputError(
                f"{where}unknown language '{name}'{hint} See `madx languages`; for a new one, a code of three letters "
                f"and languages/CODE.toml, which `madx init TEXT --language CODE --name NAME` writes"
            )
        return self.languages[code]

    def _nearest_language(self, name: str) -> str:
        """Of a code, before all others, one with a single other letter in its place: of 'ndz' 'nds', not 'nd'."""
        known = [*self.language_files, *self._aliases]
        codes = [code for code in known if len(code) == len(name) == 3 and sum(map(eq, code, name)) == 2]
        holding = [other for other in known if name.lower() in other.split()]  # 'sorbian': two languages of that name
        if len(holding) > 1:
            return f": {' or '.join(map(repr, sorted(holding)[:3]))}?"
        return nearest(name, holding or codes or known)

    def task(self, name: str) -> TaskSpec:
        path = self.task_files.get(name)
        if path is None:
            raise InputError(f"unknown task '{name}'{nearest(name, list(self.task_files))}")
        return read_task(path, read_toml(path))
