"""Every catalogue file loads, and names lead to it."""

import tomllib
from pathlib import Path

import pytest
from tiny_encoders import SHARED

from madx.catalog.find import Catalogue, packaged
from madx.config import InputError
from madx.corpora.documents import find_file


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue()


def test_every_language_loads(catalogue: Catalogue) -> None:
    assert len(catalogue.languages) == 519
    assert sum(bool(language.text) for language in catalogue.languages.values()) > 480
    aliases = [alias for language in catalogue.languages.values() for alias in language.aliases]
    assert len(aliases) == len(set(aliases))
    assert not set(aliases) & set(catalogue.languages)


def test_every_task_loads_and_its_languages_exist(catalogue: Catalogue) -> None:
    tasks = [catalogue.task(name) for name in catalogue.task_files]
    assert {"pos", "pos-masakha", "ner", "topic", "nli", "copa", "qa", "sentiment"} <= {task.name for task in tasks}
    for task in tasks:
        assert set(task.data) <= set(catalogue.languages), task.name
        assert task.source in task.data


@pytest.mark.parametrize(
    ("name", "code"),
    [("fao", "fao"), ("fo", "fao"), ("Faroese", "fao"), ("Low German", "nds"), ("ace-Arab", "ace-Arab")],
)
def test_a_language_is_found_by_any_of_its_names(catalogue: Catalogue, name: str, code: str) -> None:
    assert catalogue.language(name).code == code


def test_an_unknown_language_names_the_nearest(catalogue: Catalogue) -> None:
    with pytest.raises(InputError, match="did you mean 'Faroese'|did you mean 'faroese'"):
        catalogue.language("Faroeese")
    for mistaken, meant in (("ndz", "nds"), ("gww", "gsw")):  # a code for one of its length
        with pytest.raises(InputError, match=f"'{mistaken}', did you mean '{meant}'\\? See"):
            catalogue.language(mistaken)
    with pytest.raises(InputError, match=r"unknown language 'Sorbian': '(lower sorbian|dsb).*' or '.*upper sorbian'\?"):
        catalogue.language("Sorbian")
    with pytest.raises(InputError, match=r"^targets: unknown language 'xx'\. See `madx languages`; for a new one"):
        catalogue.language("xx", "targets")


def test_own_files_override_the_packaged(tmp_path: Path) -> None:
    (tmp_path / "languages").mkdir()
    (tmp_path / "languages" / "fao.toml").write_text('name = "Mine"\nscript = "Latn"\n')
    assert Catalogue(tmp_path).language("fao").name == "Mine"


def test_a_wrong_key_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "languages").mkdir()
    (tmp_path / "languages" / "quy.toml").write_text('name = "Quechua"\nscrpt = "Latn"\n')
    with pytest.raises(InputError, match=r"quy\.toml: unknown key 'scrpt', did you mean 'script'\?"):
        Catalogue(tmp_path).language("quy")


@pytest.mark.parametrize("lines", ["[900, 10]", "[0, 10]"])
def test_lines_of_a_text_are_in_order(lines: str, tmp_path: Path) -> None:
    (tmp_path / "languages").mkdir()
    about = f'name = "Quechua"\nscript = "Latn"\ntext = [{{ file = "a.txt", lines = {lines} }}]\n'
    (tmp_path / "languages" / "quy.toml").write_text(about)
    with pytest.raises(InputError, match=r"quy\.toml: .*the first and the last line, from 1"):
        Catalogue(tmp_path).language("quy")


@pytest.mark.skipif(not SHARED.is_dir(), reason="LOUD: ../shared/data is absent; the catalogue's paths are not checked")
def test_every_file_of_the_catalogue_exists(catalogue: Catalogue) -> None:
    data = SHARED / "data"
    files = [s.file for language in catalogue.languages.values() for s in language.text if s.file]
    for name in catalogue.task_files:
        for splits in catalogue.task(name).data.values():
            files += [*splits.train, *splits.dev, *splits.test]
    assert len(files) > 1500
    for file in files:
        find_file(file, data)


def test_nothing_in_a_language_file_is_said_twice() -> None:
    for path in (packaged() / "languages").glob("*.toml"):
        text = tomllib.loads(path.read_text()).get("text", [])
        assert len(text) == len(set(map(str, text))), path
