"""Tiny random encoders of every family, with a small tokenizer of their own; and where files are."""

import functools
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedTokenizerFast

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
