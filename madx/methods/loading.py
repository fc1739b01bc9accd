"""What loads a folder, by what it holds; loading is the folder's alone, whatever trained it."""

from pathlib import Path

from madx.formats.peft import WEIGHTS as PEFT
from madx.formats.vocabulary import FILE as VOCABULARY
from madx.methods.beside import Lora
from madx.methods.bitfit import BitFit
from madx.methods.bottleneck import BottleneckAdapter
from madx.methods.full import Full
from madx.methods.fused import FusedAdapters
from madx.methods.hyper import HyperX
from madx.methods.lily import LilyAdapter
from madx.methods.method import Method, Stored
from madx.methods.mixture import Mixture
from madx.methods.prefix import PrefixTuning
from madx.methods.prompt import PromptTuning
from madx.methods.sparse import FILE as SPARSE
from madx.methods.unipelt import UniPelt
from madx.methods.vocabulary import VocabularyAdapter

LOADED_BY: dict[Stored, Method] = {
    "adapter": BottleneckAdapter(), "encoder": Full(), "change": BitFit(), "beside": Lora(), "fusion": FusedAdapters(),
    "prefix": PrefixTuning(), "prompt": PromptTuning(), "union": UniPelt(), "mixture": Mixture(),
    "vocabulary": VocabularyAdapter(), "lily": LilyAdapter(), "hyper": HyperX(),
}  # fmt: skip


def stored_in(folder: Path) -> Stored:
    """Of a folder that nobody says it of, by a file that no other has."""
    by_file: dict[str, Stored] = {SPARSE: "change", PEFT: "beside", VOCABULARY: "vocabulary"}
    return next((stored for file, stored in by_file.items() if (folder / file).exists()), "adapter")
