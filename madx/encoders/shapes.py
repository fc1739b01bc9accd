"""An encoder without weights: what can be counted of it and of what would be trained on it, in a moment."""

import torch
from transformers import AutoConfig, AutoModelForMaskedLM

from madx.config import InputError, first_line
from madx.encoders.encoder import Encoder
from madx.encoders.reference import EncoderRef


def shapes_of(ref: EncoderRef) -> Encoder:
    """Its tensors have shapes and no values (torch's meta device). Raises InputError."""
    try:
        config = AutoConfig.from_pretrained(ref.path, revision=ref.revision)
        with torch.device("meta"):
            model = AutoModelForMaskedLM.from_config(config)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"model '{ref.name}': cannot be loaded: {first_line(error)}") from None
    return Encoder(model, ref, torch.device("meta"))
