"""Labelled Hub data sets, read by `datasets` from a directory: the same code, without the network."""

from pathlib import Path

import datasets
import pytest

from madx.catalog.task import Columns, HubData, Splits, TaskSpec
from madx.config import InputError
from madx.tasks import classification, tagging
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
