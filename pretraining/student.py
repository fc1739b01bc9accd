"""The teacher, which is E5 itself, and the student that begins as every second layer of it."""

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM, BertModel

from pretraining.e5 import E5
from pretraining.vocabulary import BOS, EOS, PAD

HEAD_NOISE = 0.02
# E5's names within a layer, and BERT's.
PARTS = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value", "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm", "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip


def config_of(e5: E5, vocabulary: int, layers: int) -> BertConfig:
    return BertConfig(
        vocab_size=vocabulary, hidden_size=e5.shape.width, num_hidden_layers=layers,
        num_attention_heads=e5.shape.heads, intermediate_size=e5.shape.feed_forward,
        max_position_embeddings=e5.shape.positions, type_vocab_size=1, layer_norm_eps=e5.shape.eps,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS,
    )  # fmt: skip


def state_of(e5: E5, kept: list[int], layers: list[int]) -> dict[str, Tensor]:
    """BertModel's tensors: the vocabulary's rows that are kept, and the chosen layers (from 0), in this order."""
    source, width = e5.tensors, e5.shape.width
    state = {
        "embeddings.word_embeddings.weight": source["emb.word"][kept],
        # every token has type 0, so its vector goes into the positions
        "embeddings.position_embeddings.weight": source["emb.pos"] + source["emb.type"][0],
        "embeddings.token_type_embeddings.weight": torch.zeros(1, width),
        "embeddings.LayerNorm.weight": source["emb.ln.w"],
        "embeddings.LayerNorm.bias": source["emb.ln.b"],
    }
    for new, old in enumerate(layers):
        for short, name in PARTS.items():
            state[f"encoder.layer.{new}.{name}.weight"] = source[f"l{old}.{short}.w"]
            state[f"encoder.layer.{new}.{name}.bias"] = source[f"l{old}.{short}.b"]
    return state


def make_teacher(e5: E5, kept: list[int]) -> BertModel:
    layers = list(range(e5.shape.layers))
    teacher = BertModel(config_of(e5, len(kept), len(layers)), add_pooling_layer=False)
    teacher.load_state_dict(state_of(e5, kept, layers))
    return teacher.eval().requires_grad_(False)


def make_student(e5: E5, kept: list[int]) -> BertForMaskedLM:
    """Layers 1, 3, 5, ... (from 0), and a masked-LM head that begins as the identity, tied to the embeddings."""
    layers = list(range(1, e5.shape.layers, 2))
    torch.manual_seed(1)
    student = BertForMaskedLM(config_of(e5, len(kept), len(layers)))
    student.bert.load_state_dict(state_of(e5, kept, layers))
    dense = student.cls.predictions.transform.dense
    with torch.no_grad():
        dense.weight.copy_(torch.eye(e5.shape.width) + HEAD_NOISE * torch.randn_like(dense.weight))
        nn.init.zeros_(dense.bias)
        nn.init.zeros_(student.cls.predictions.bias)
    return student
