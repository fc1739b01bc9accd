"""Labelled Hub data sets, read by `datasets` from a directory: the same code, without the network."""

from pathlib import Path

import datasets
import pytest

from madx.catalog.task import Columns, HubData, Splits, TaskSpec
from madx.config import InputError
from madx.tasks import classification, multiple_choice, parsing, tagging
from madx.tasks.data import labelled_data

NER = TaskSpec(name="ner", kind="tagging", metric="span-f1", labels=("O", "B-PER"), outside=("DATE",))
TOPIC = TaskSpec(name="topic", kind="classification", metric="accuracy", labels=("sport", "news"))


def write(folder: Path, split: str, rows: dict, features: datasets.Features) -> HubData:
    data = datasets.Dataset.from_dict(rows, features=features)
    (folder / "data").mkdir(exist_ok=True)
    data.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return HubData(dataset=str(folder))


def test_class_labels_become_names(tmp_path: Path) -> None:
    features = datasets.Features(
        {
            "tokens": datasets.List(datasets.Value("string")),
            "ner_tags": datasets.List(datasets.ClassLabel(names=["O", "B-PER", "B-DATE"])),
        }
    )
    hub = write(tmp_path, "test", {"tokens": [["Ann", "i", "dag"]], "ner_tags": [[1, 0, 2]]}, features)
    (example,) = tagging.read_hub(hub, "test", NER).examples
    assert (example.inputs, example.gold) == (["Ann", "i", "dag"], ["B-PER", "O", "O"])


def test_dev_is_found_under_its_other_name(tmp_path: Path) -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["sport", "news"])}
    )
    hub = write(tmp_path, "validation", {"text": ["goal"], "label": [0]}, features)
    (example,) = classification.read_hub(hub, "dev", TOPIC).examples
    assert example.gold == "sport"
    renamed = hub.model_copy(update={"columns": Columns(text="label", label="text")})
    with pytest.raises(InputError, match=r"\(None, validation\), row 1: column 'label' holds a number"):
        classification.read_hub(renamed, "dev", TOPIC)
    with pytest.raises(InputError, match="no split test"):
        classification.read_hub(hub, "test", TOPIC)


def test_files_win_over_the_hub_where_they_are_there(tmp_path: Path) -> None:
    splits = Splits(test=("here.tsv",), hub="swe_Latn")
    task = TOPIC.model_copy(update={"data": {"swe": splits}, "hub": HubData(dataset="nobody/nothing")})
    from_hub = labelled_data(task, "swe", "test", tmp_path)
    assert from_hub is not None
    assert from_hub.hub == HubData(dataset="nobody/nothing", config="swe_Latn")
    (tmp_path / "here.tsv").write_text("text\tlabel\ngoal\tsport\n")
    from_file = labelled_data(task, "swe", "test", tmp_path)
    assert from_file is not None
    assert from_file.files
    assert from_file.load()[0].gold == "sport"


FEATURES = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["sport", "news"])})


def test_labels_that_are_not_published_are_called_that(tmp_path: Path) -> None:
    hub = write(tmp_path, "test", {"text": ["goal", "vote"], "label": [0, -1]}, FEATURES)
    with pytest.raises(InputError, match=r"test\), row 2: label -1 marks examples whose labels are not published"):
        classification.read_hub(hub, "test", TOPIC)
    none = write(tmp_path, "train", {"text": ["goal"], "label": [None]}, FEATURES)
    with pytest.raises(InputError, match=r"train\), row 1: no label: column 'label' is null"):
        classification.read_hub(none, "train", TOPIC)


def test_a_column_that_is_missing_is_named_with_those_there_are(tmp_path: Path) -> None:
    hub = write(tmp_path, "test", {"text": ["goal"], "label": [0]}, FEATURES)
    asked = hub.model_copy(update={"columns": Columns(text="tweet")})
    with pytest.raises(InputError, match=r"column 'tweet' is missing; there are: text, label"):
        classification.read_hub(asked, "test", TOPIC)
    with pytest.raises(InputError, match=r"no column with the words \(tokens\); there are: text, label"):
        tagging.read_hub(hub, "test", NER)
    with pytest.raises(InputError, match=r"column 'premise' is missing"):
        multiple_choice.read_hub(hub, "test", TaskSpec(name="copa", kind="multiple-choice", metric="accuracy"))


def test_a_configuration_that_is_not_there_is_called_that_and_no_missing_split(tmp_path: Path) -> None:
    hub = write(tmp_path, "train", {"text": ["goal"], "label": [0]}, FEATURES)
    with pytest.raises(InputError, match="BuilderConfig 'swe' not found") as error:
        classification.read_hub(hub.model_copy(update={"config": "swe"}), "train", TOPIC)
    assert "no split" not in str(error.value)


def test_a_data_set_that_is_a_script_is_called_that(tmp_path: Path) -> None:
    (tmp_path / f"{tmp_path.name}.py").write_text("raise SystemExit")
    with pytest.raises(InputError, match=r"a data set that is a script, .*refs/convert/parquet") as error:
        classification.read_hub(HubData(dataset=str(tmp_path)), "train", TOPIC)
    assert "\n" not in str(error.value)


def test_nothing_is_printed_of_a_data_set_that_is_loaded(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hub = write(tmp_path, "train", {"text": ["goal"] * 50, "label": [0] * 50}, FEATURES)
    capfd.readouterr()
    assert len(classification.read_hub(hub, "train", TOPIC).examples) == 50
    assert capfd.readouterr() == ("", "")


def test_entities_on_the_hub_are_read_in_their_scheme(tmp_path: Path) -> None:
    features = datasets.Features(
        {
            "tokens": datasets.List(datasets.Value("string")),
            "tags": datasets.List(datasets.ClassLabel(names=["O", "I-PER"])),
        }
    )
    hub = write(tmp_path, "test", {"tokens": [["Ann", "sov"]], "tags": [[1, 0]]}, features)
    reading = tagging.read_hub(hub, "test", NER)
    assert ([e.gold for e in reading.examples], reading.layout) == (
        [["B-PER", "O"]], "rows of tokens and labels, IOB1 read as IOB2",
    )  # fmt: skip


def test_lists_that_are_null_or_of_two_lengths_are_named(tmp_path: Path) -> None:
    strings = datasets.List(datasets.Value("string"))
    features = datasets.Features({"tokens": strings, "tags": strings, "head": strings, "deprel": strings})
    rows = {"tokens": [["Ann", "sov"]], "tags": [None], "head": [["0"]], "deprel": [["root"]]}
    hub = write(tmp_path, "test", rows, features)
    with pytest.raises(InputError, match=r"test\), row 1: 2 words, but 0 labels"):
        tagging.read_hub(hub, "test", NER)
    spec = TaskSpec(name="p", kind="parsing", metric="las", labels=("root",))
    with pytest.raises(InputError, match=r"row 1: 'tokens', 'head' and 'deprel' should be lists of one length"):
        parsing.read_hub(hub, "test", spec)
