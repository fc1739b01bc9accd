"""A transformers model as it was published: from the Hub, a folder, or rounded weights. Every refusal is one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer

from madx.config import InputError, first_line
from madx.encoders.families import family_of
from madx.encoders.reference import EncoderRef
from madx.encoders.rounded import NAME, load_rounded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_model(ref: EncoderRef) -> tuple[Any, bool]:
    """The transformers model in fp32, and whether its masked-LM head is trained. Raises InputError in one line."""
    if "HF_HUB_DISABLE_PROGRESS_BARS" not in os.environ:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    try:
        config = AutoConfig.from_pretrained(ref.path, revision=ref.revision)
        family = family_of(config.model_type, ref.name)
        options = {"revision": ref.revision, "dtype": torch.float32, "output_loading_info": True}
        rounded = Path(ref.path) / NAME
        if rounded.exists():
            model = AutoModelForMaskedLM.from_config(config, dtype=torch.float32)
            info = {"missing_keys": model.load_state_dict(load_rounded(rounded), strict=False).missing_keys}
        else:
            model, info = quietly(lambda: AutoModelForMaskedLM.from_pretrained(ref.path, config=config, **options))
            if family.corrected(config, info["unexpected_keys"]):
                model, info = quietly(lambda: AutoModelForMaskedLM.from_pretrained(ref.path, config=config, **options))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise InputError(f"model '{ref.name}': cannot be loaded: {first_line(error)}") from None
    prefix = model.base_model_prefix + "."
    missing = [k for k in info["missing_keys"] if k.startswith(prefix)]
    if missing:
        raise InputError(
            f"model '{ref.name}': its weights lack {len(missing)} tensors of the encoder, e.g. {missing[0]}"
        )
    return model, not any("dense" in k or "transform" in k for k in info["missing_keys"])


def quietly(load: Callable[[], Any]) -> Any:
    """Without transformers' bars and advice."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        return load()
    finally:
        logging.set_verbosity(level)


def tokenizer_of(ref: EncoderRef) -> PreTrainedTokenizerBase:
    """An encoder's tokenizer without its weights. Raises InputError."""
    try:
        config = AutoConfig.from_pretrained(ref.path, revision=ref.revision)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"model '{ref.name}': cannot be loaded: {first_line(error)}") from None
    return load_tokenizer(ref, config.vocab_size)


def load_tokenizer(ref: EncoderRef, vocabulary: int) -> PreTrainedTokenizerBase:
    """An encoder's tokenizer. Raises InputError where there is none, or more ids than `vocabulary` rows."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(ref.path, revision=ref.revision)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"model '{ref.name}': no tokenizer: {first_line(error)}") from None
    ids = tokenizer.get_vocab()
    if set(ids) <= set(tokenizer.all_special_tokens):  # made up by transformers, where no files are
        raise InputError(f"model '{ref.name}': no tokenizer beside its weights; copy the tokenizer's files there")
    count = max(ids.values()) + 1
    if count > vocabulary:
        raise InputError(
            f"model '{ref.name}': its tokenizer has {count} ids, but the embeddings have {vocabulary} rows; "
            "take the tokenizer that it was trained with"
        )
    return tokenizer  # type: ignore[no-any-return]


def load_pooler(ref: EncoderRef) -> nn.Module:
    """BERT's pooler. Raises InputError where the checkpoint has none."""
    options = {"revision": ref.revision, "output_loading_info": True}
    try:
        model, info = quietly(lambda: AutoModel.from_pretrained(ref.path, **options))
    except OSError as error:
        raise InputError(f"model '{ref.name}': no pooler: {first_line(error)}") from None
    found = dict(model.named_children()).get("pooler")
    if found is None or any("pooler" in key for key in info["missing_keys"]):
        raise InputError(f"model '{ref.name}' has no pooler's weights; a head with use_pooler can't be used on it")
    return found  # type: ignore[no-any-return]
