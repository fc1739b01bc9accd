"""An encoder as a stock transformers folder, for whoever has no madx."""

from pathlib import Path

from madx.config import InputError
from madx.encoders.load import load_model, load_tokenizer
from madx.encoders.reference import EncoderRef
from madx.writing import new_folder


def export_encoder(ref: EncoderRef, folder: Path) -> None:
    """config.json, model.safetensors in fp32 and the tokenizer: `AutoModelForMaskedLM` loads the same numbers.

    Raises InputError where `folder` has something in it, or the encoder has no trained masked-LM head.
    """
    with new_folder(folder) as new:
        model, head_is_trained = load_model(ref)
        if not head_is_trained:
            raise InputError(f"model '{ref.name}' has no trained masked-LM head, which the folder would need")
        tokenizer = load_tokenizer(ref, model.config.vocab_size)
        model.save_pretrained(new)
        tokenizer.save_pretrained(new)
