"""Tiny random encoders of every family, with a small tokenizer of their own; and a tiny project to run."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when huggingface_hub is imported
os.environ["MADX_JOBS"] = "1"  # a helper takes seconds to start

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedTokenizerFast

from madx.encoders.encoder import Encoder, load_encoder
from madx.encoders.reference import resolve_encoder

torch.set_num_threads(1)
SHARED = Path(__file__).parents[2] / "shared"
QUICKSTART = Path(__file__).parents[1] / "madx" / "quickstart"
VOCABULARY = 2_000
COMMON = {
    "vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 130, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
FAMILIES = {
    "bert": COMMON,
    "roberta": {**COMMON, "type_vocab_size": 1},
    "xlm-roberta": {**COMMON, "type_vocab_size": 1},
    "distilbert": {
        "vocab_size": VOCABULARY,
        "dim": 16,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 24,
        "max_position_embeddings": 130,
        "pad_token_id": 0,
    },  # fmt: skip
    "deberta-v2": {**COMMON, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16},
    "modernbert": {**COMMON, "cls_token_id": 1, "sep_token_id": 2, "max_position_embeddings": 128},
    "rembert": {**COMMON, "input_embedding_size": 10, "output_embedding_size": 24},
    "eurobert": {**COMMON, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128},
}
ENGLISH = [
    ("the dog sleeps", "DET NOUN VERB"),
    ("a cat eats fish", "DET NOUN VERB NOUN"),
    ("two birds sing", "NUM NOUN VERB"),
    ("the old man reads a book", "DET ADJ NOUN VERB DET NOUN"),
    ("she walks home", "PRON VERB NOUN"),
    ("we see the sea", "PRON VERB DET NOUN"),
]


@functools.cache
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte pairs of the quick start's text, <pad> 0, <s> 1, </s> 2, <unk> 3, <mask> 4: made in a second, once."""
    special = ["<pad>", "<s>", "</s>", "<unk>", "<mask>"]
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    latin = [chr(code) for code in range(0x21, 0x250)]  # no letter of it is unknown
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=latin, show_progress=False
    )
    backend.train([str(path) for path in sorted(QUICKSTART.glob("*.txt"))], trainer)
    assert backend.get_vocab_size() == VOCABULARY
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>", cls_token="<s>",
        sep_token="</s>", unk_token="<unk>", mask_token="<mask>", model_max_length=512,
    )  # fmt: skip


def make_encoder(folder: Path, model_type: str, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    config = AutoConfig.for_model(model_type, **FAMILIES[model_type])
    AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Whatever a test's commands have asked for in this process."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(model_type: str) -> Path:
        if model_type not in made:
            made[model_type] = make_encoder(tmp_path_factory.mktemp(model_type), model_type)
        return made[model_type]

    return folder


@pytest.fixture(params=sorted(FAMILIES))
def encoder(request: pytest.FixtureRequest, encoder_folder: Callable[[str], Path]) -> Encoder:
    """Each family in turn."""
    return load_encoder(resolve_encoder(str(encoder_folder(request.param))), torch.device("cpu"))


@pytest.fixture
def tiny(encoder_folder: Callable[[str], Path]) -> Encoder:
    """One family, where one is enough."""
    return load_encoder(resolve_encoder(str(encoder_folder("modernbert"))), torch.device("cpu"))


@pytest.fixture
def encoder_of_bert(encoder_folder: Callable[[str], Path]) -> Encoder:
    """A family whose linear layers have biases and are each by itself."""
    return load_encoder(resolve_encoder(str(encoder_folder("bert"))), torch.device("cpu"))


RECIPE = """
name = "tiny"
model = "{model}"
tasks = ["tags"]
source = "eng"
targets = ["swe"]
methods = ["madx", "tlr", "source-adapter", "no-language-adapter", "task-only", "full", "full-target-mlm"]
seeds = [1, 2]

[text]
eng = "eng.txt"
swe = "swe.txt"

[language_adapter]
steps = 12
batch_tokens = 128
max_length = 16

[task_adapter]
epochs = 3
batch_size = 4

[evaluation]
bootstrap = 50
"""
TASK = """
kind = "tagging"
metric = "accuracy"
labels = ["ADJ", "DET", "NOUN", "NUM", "PRON", "VERB"]

[data.eng]
train = "eng.tsv"
dev = "eng.tsv"
test = "eng.tsv"
[data.swe]
test = "swe.tsv"
"""


def labelled(rows: list[tuple[str, str]]) -> str:
    return "".join(
        "".join(f"{w}\t{t}\n" for w, t in zip(words.split(), tags.split(), strict=True)) + "\n" for words, tags in rows
    )


@pytest.fixture
def project(tmp_path: Path, encoder_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder: recipe.toml, text, labels, tasks/tags.toml. It becomes the working directory."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "tags.toml").write_text(TASK)
    (tmp_path / "recipe.toml").write_text(RECIPE.format(model=encoder_folder("modernbert")))
    (tmp_path / "eng.tsv").write_text(labelled(ENGLISH * 3))
    (tmp_path / "swe.tsv").write_text(labelled([("hunden sover", "NOUN VERB"), ("en katt äter", "DET NOUN VERB")]))
    for code, words in (("eng", "the dog sees a house near the sea"), ("swe", "hunden ser ett hus nära havet")):
        lines = [f"{words} {i} gånger {i * 7 % 13} och {i * i} igen" for i in range(250)]
        (tmp_path / f"{code}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path
