"""Make `mini`, the bundled encoder: tokenizer, aligned embeddings, pre-training, export. One command, resumable.

    python pretraining/mini.py --data ../shared/data --work /tmp/mini

ModernBERT's shape. Three things make languages meet in it:
1. embeddings start as an SVD of the positive PMI between tokens and the sentences of multi-parallel text
   (Levy and Goldberg 2014 for PPMI + SVD; Levy et al. 2017 for sentence ids as contexts);
2. on translation pairs, tokens that are each other's nearest neighbour in those static vectors are pulled together in
   the top layer against in-batch negatives (as in Chi et al. 2021, XLM-Align, with static instead of dynamic links);
   in a second phase words that IBM Model 1 links, in the upper layers (madx/corpora/word_links.py);
3. masked LM on everything, each sentence of a pair encoded by itself.
Tensor legend: B sequences, T tokens, D width, V vocabulary, M masked positions, N linked token pairs.
"""

import argparse
import csv
import gzip
import json
import os
import random
import time
from pathlib import Path

import numpy as np
import sentencepiece as spm
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import ModernBertConfig, ModernBertForMaskedLM, PreTrainedTokenizerFast

from madx.corpora.word_links import word_links, words_of

# The pre-training languages: 24 in 8 scripts. Whatever is not here is unseen.
LANGUAGES = [
    *("eng", "deu", "nld", "nob", "fra", "spa", "ita", "ron", "ces", "pol", "rus", "ukr"),
    *("mkd", "fin", "hun", "tur", "ell", "arb", "heb", "fas", "hin", "zho", "kor", "vie"),
]
# How each multi-parallel folder spells a language where that differs from the catalogue's code.
SPELLINGS = {"zho": ["zho", "zho-Hans", "zho-CN"], "fas": ["fas", "pes"], "arb": ["arb"]}
VOCABULARY = 16_000
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<mask>"]
PAD, BOS, EOS, UNK, MASK = range(5)
WIDTH, LAYERS, HEADS, FFN = 192, 4, 6, 288
LENGTH = 64
FIRST_STEPS = 6200  # with static links; then SECOND_STEPS with word links
SECOND_STEPS = 3000
BATCH = {1: (32, 12), 2: (24, 16)}  # by phase: sequences of running text and translation pairs
LINK_COSINE, TEMPERATURE, ALIGN_WEIGHT, SENTENCE_WEIGHT = 0.35, 0.1, 0.5, 0.1
SECOND_ALIGN_WEIGHT = 1.0
PEAK_RATE, WARM_UP = {1: 2.5e-3, 2: 1.5e-3}, {1: 300, 2: 100}


def lines_of(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        return [line.rstrip("\n") for line in file]


def text_of(data: Path, language: str) -> list[str]:
    """Every commercially usable sentence of a language, without repeats, in a fixed random order."""
    with open(data / "LANGUAGES.tsv", encoding="utf-8") as file:
        row = next(r for r in csv.DictReader(file, delimiter="\t") if r["lang"] == language)
    with open(data / "corpora" / "MANIFEST.tsv", encoding="utf-8") as file:
        manifest = list(csv.DictReader(file, delimiter="\t"))
    excluded = [
        (int(m["first_line"]), int(m["last_line"]))
        for m in manifest
        # treebanks are left out too: some of them are non-commercial
        if m["lang"] == language and ("NC" in m["licence"] or m["source"] == "ud-train")
    ]
    sentences: dict[str, None] = {}
    for name in row["text_files"].split(";"):
        spans = excluded if name.startswith("corpora/") else []
        for number, line in enumerate(lines_of(data / name), 1):
            if line.strip() and not any(first <= number <= last for first, last in spans):
                sentences[line] = None
    shuffled = list(sentences)
    random.Random(language).shuffle(shuffled)
    return shuffled


def parallel_rows(data: Path) -> list[dict[str, str]]:
    """Rows of the multi-parallel text: the same sentence in every language that has it."""
    rows = []
    for folder in ("ntrex", "flores200", "tico19"):
        columns = {}
        for language in LANGUAGES:
            for spelling in SPELLINGS.get(language, [language]):
                found = sorted((data / "parallel" / folder).glob(f"{spelling}[.-]*txt.gz"))
                if found:
                    columns[language] = lines_of(found[0])
                    break
        length = max(map(len, columns.values()))
        print(f"{folder}: {length} rows, {len(columns)} languages")
        rows += [{k: v[i] for k, v in columns.items() if i < len(v) and v[i].strip()} for i in range(length)]
    return rows


def make_tokenizer(texts: dict[str, list[str]], work: Path) -> PreTrainedTokenizerFast:
    """Sentencepiece unigram with byte fallback, saved in the format of `tokenizers`."""
    if not (work / "encoder" / "tokenizer.json").exists():
        rng = random.Random(1)
        # the same number of sentences of each language, so that none starves
        sample = [s for text in texts.values() for s in rng.sample(text, min(len(text), 6000))]
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(sample), model_prefix=str(work / "spm"), vocab_size=VOCABULARY - len(SPECIAL) + 1,
            character_coverage=0.9995, byte_fallback=True, normalization_rule_name="nfkc", num_threads=2,
            pad_id=-1, bos_id=-1, eos_id=-1, unk_id=0,
        )  # fmt: skip
        pieces = spm.SentencePieceProcessor(model_file=str(work / "spm.model"))
        vocabulary = [(token, 0.0) for token in SPECIAL]
        vocabulary += [(pieces.id_to_piece(i), pieces.get_score(i)) for i in range(1, pieces.get_piece_size())]
        backend = Tokenizer(models.Unigram(vocabulary, unk_id=UNK, byte_fallback=True))
        backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("\n", " ")])
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
        backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()])
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", BOS), ("</s>", EOS)]
        )
        PreTrainedTokenizerFast(
            tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>", cls_token="<s>",
            sep_token="</s>", unk_token="<unk>", mask_token="<mask>", model_max_length=512,
        ).save_pretrained(work / "encoder")  # fmt: skip
    return PreTrainedTokenizerFast.from_pretrained(work / "encoder")


def encode(tokenizer: PreTrainedTokenizerFast, sentences: list[str]) -> list[list[int]]:
    return tokenizer(sentences, add_special_tokens=False)["input_ids"]


def aligned_embeddings(rows: list[dict[str, list[int]]], size: int) -> np.ndarray:
    """SVD of the positive PMI of tokens x sentence ids: (V, D), rows of norm 1, zero where a token never occurs."""
    counts = np.zeros((size, len(rows)), dtype=np.float32)
    for column, row in enumerate(rows):
        for ids in row.values():
            np.add.at(counts, (ids, column), 1.0)
    counts = np.minimum(counts, 3)
    total = counts.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        pmi = np.log(counts * total / counts.sum(1, keepdims=True) / counts.sum(0, keepdims=True))
    ppmi = torch.from_numpy(np.where(np.isfinite(pmi), np.maximum(pmi, 0), 0).astype(np.float32))
    torch.manual_seed(0)
    left, singular, _ = torch.svd_lowrank(ppmi, q=WIDTH, niter=4)
    vectors = (left * singular.sqrt()).numpy()
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(norms > 1e-6, vectors / np.maximum(norms, 1e-6), 0)


def links(source: list[int], target: list[int], static: Tensor) -> list[tuple[int, int]]:
    """Positions that are each other's nearest neighbour in the static vectors, cosine above LINK_COSINE."""
    cosine = static[source] @ static[target].T
    best_target, best_source = cosine.argmax(1), cosine.argmax(0)
    return [
        (i, j)
        for i, j in enumerate(best_target.tolist())
        if int(best_source[j]) == i and float(cosine[i, j]) > LINK_COSINE
    ]


Links = list[dict[str, list[tuple[int, int]]]]  # of a row: language to (English position, its position)


def first_subwords(tokenizer: PreTrainedTokenizerFast, sentence: str) -> tuple[list[str], list[int]]:
    """The sentence's words, and the position of the token in which each begins."""
    offsets = tokenizer(sentence, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    begins = {}
    for position, (start, end) in enumerate(offsets):
        for character in range(start, end):
            begins.setdefault(character, position)
    words, positions, character = [], [], 0
    for word in words_of(sentence):
        character = sentence.index(word, character)
        if character in begins:
            words.append(word)
            positions.append(begins[character])
        character += len(word)
    return words, positions


def links_to_english(raw: list[dict[str, str]], tokenizer: PreTrainedTokenizerFast) -> Links:
    """Word links between English and each other language (madx/corpora/word_links.py), at first subwords."""
    found: Links = [{} for _ in raw]
    english = {i: first_subwords(tokenizer, row["eng"]) for i, row in enumerate(raw) if "eng" in row}
    for language in LANGUAGES[1:]:
        have = [i for i in english if language in raw[i]]
        other = {i: first_subwords(tokenizer, raw[i][language]) for i in have}
        for i, linked in zip(have, word_links([(english[i][0], other[i][0]) for i in have]), strict=True):
            found[i][language] = [(english[i][1][a], other[i][1][b]) for a, b in linked]
    return found


def between(row: dict[str, list[tuple[int, int]]], first: str, second: str) -> list[tuple[int, int]]:
    """Links of two languages of a row, over English where neither is English."""
    if first == "eng":
        return row.get(second, [])
    if second == "eng":
        return [(b, a) for a, b in row.get(first, [])]
    over = dict(row.get(first, []))
    return [(over[a], b) for a, b in row.get(second, []) if a in over]


class Batches:
    """An endless stream of batches; a batch is a pure function of its number, so resuming needs no state."""

    def __init__(
        self, streams: dict[str, np.ndarray], rows: list[dict[str, list[int]]], static: Tensor, word: Links
    ) -> None:
        self.streams, self.rows, self.static, self.word = streams, rows, static, word
        sizes = np.array([len(s) for s in streams.values()], dtype=np.float64)
        self.shares = sizes**0.5 / (sizes**0.5).sum()
        self.names = list(streams)

    def __call__(self, number: int) -> tuple[Tensor, Tensor, Tensor, list[tuple[int, int, int, int]]]:
        """(ids BT, labels BT, attention mask BT, links as (row, position, row, position))."""
        rng = np.random.default_rng((17, number))
        mono, pairs = BATCH[phase_of(number)]
        ids = np.full((mono + 2 * pairs, LENGTH), PAD, dtype=np.int64)
        for b, name in enumerate(rng.choice(self.names, mono, p=self.shares)):
            stream = self.streams[name]
            start = int(rng.integers(0, len(stream) - LENGTH))
            ids[b] = stream[start : start + LENGTH]
        linked = []
        for pair in range(pairs):
            which = int(rng.integers(len(self.rows)))
            row = self.rows[which]
            first, second = rng.choice(sorted(row), 2, replace=False)
            if rng.random() < 0.5 and "eng" in row and second != "eng":
                first = "eng"
            bodies = [row[first][: LENGTH - 2], row[second][: LENGTH - 2]]
            b = mono + 2 * pair
            for offset, body in enumerate(bodies):
                ids[b + offset, : len(body) + 2] = [BOS, *body, EOS]
            if phase_of(number) == 1:
                found = links(*bodies, self.static)
            else:
                found = between(self.word[which], first, second)
            linked += [(b, i + 1, b + 1, j + 1) for i, j in found if i < len(bodies[0]) and j < len(bodies[1])]
        real = ids >= len(SPECIAL)
        chosen = real & (rng.random(ids.shape) < 0.2)
        labels = np.where(chosen, ids, -100)
        action = rng.random(ids.shape)
        masked = np.where(chosen & (action < 0.8), MASK, ids)
        masked = np.where(chosen & (action >= 0.9), rng.integers(len(SPECIAL), VOCABULARY, ids.shape), masked)
        return torch.from_numpy(masked), torch.from_numpy(labels), torch.from_numpy(ids != PAD), linked


def phase_of(step: int) -> int:
    return 1 if step < FIRST_STEPS else 2


def losses(model: ModernBertForMaskedLM, batch, phase: int) -> dict[str, Tensor]:
    """Masked LM at the masked positions; token alignment and sentence alignment on the pairs.

    Token alignment is in the top layer; in the second phase in every layer but the first, on average.
    """
    ids, labels, mask, linked = batch
    mono, pairs = BATCH[phase]
    out = model.model(input_ids=ids, attention_mask=mask, output_hidden_states=phase == 2)
    hidden_BTD = out.last_hidden_state
    chosen = labels != -100
    masked_lm = F.cross_entropy(model.decoder(model.head(hidden_BTD[chosen])), labels[chosen])
    b1, i, b2, j = torch.tensor(linked).T
    # another occurrence of the same word is no negative
    token = ids[b1, i]
    same = (token[:, None] == token[None, :]) & ~torch.eye(len(token), dtype=torch.bool)
    here = torch.arange(len(token))
    aligned = []
    for states_BTD in [*out.hidden_states[2:-1], hidden_BTD] if phase == 2 else [hidden_BTD]:
        left_ND, right_ND = (F.normalize(h, dim=-1) for h in (states_BTD[b1, i], states_BTD[b2, j]))
        similarity_NN = (left_ND @ right_ND.T / TEMPERATURE).masked_fill(same, -1e4)
        aligned.append((F.cross_entropy(similarity_NN, here) + F.cross_entropy(similarity_NN.T, here)) / 2)
    align = torch.stack(aligned).mean()
    pooled = F.normalize((hidden_BTD[mono:] * mask[mono:, :, None]).sum(1), dim=-1)
    sentence = F.cross_entropy(20 * pooled[0::2] @ pooled[1::2].T, torch.arange(pairs))
    return {"masked_lm": masked_lm, "align": align, "sentence": sentence}


def save(state: dict, path: Path) -> None:
    """Written beside and renamed: a checkpoint is whole or it isn't there."""
    torch.save(state, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def prepare(data: Path, work: Path) -> tuple[Batches, np.ndarray]:
    texts = {language: text_of(data, language) for language in LANGUAGES}
    tokenizer = make_tokenizer(texts, work)
    streams = {}
    for language, text in texts.items():
        flat: list[int] = []
        for ids in encode(tokenizer, text):
            flat += [BOS, *ids, EOS] if not flat else [*ids, EOS]
        streams[language] = np.array(flat, dtype=np.int64)
    print("tokens", sum(map(len, streams.values())), {k: len(v) for k, v in streams.items()}, flush=True)
    raw = parallel_rows(data)
    rows: list[dict[str, list[int]]] = [{} for _ in raw]
    for language in LANGUAGES:
        have = [i for i, row in enumerate(raw) if language in row]
        for i, ids in zip(have, encode(tokenizer, [raw[i][language] for i in have]), strict=True):
            if ids:
                rows[i][language] = ids
    word = links_to_english(raw, tokenizer)
    word = [found for found, row in zip(word, rows, strict=True) if len(row) > 1]
    rows = [row for row in rows if len(row) > 1]
    if not (work / "static.npy").exists():
        np.save(work / "static.npy", aligned_embeddings(rows, VOCABULARY))
    static = np.load(work / "static.npy")
    return Batches(streams, rows, torch.from_numpy(static), word), static


def new_model(static: np.ndarray) -> ModernBertForMaskedLM:
    torch.manual_seed(1)
    rope = {k: {"rope_type": "default", "rope_theta": 10_000.0} for k in ("full_attention", "sliding_attention")}
    config = ModernBertConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=FFN, max_position_embeddings=512, pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS,
        cls_token_id=BOS, sep_token_id=EOS, layer_types=["full_attention"] * LAYERS, rope_parameters=rope,
    )  # fmt: skip
    model = ModernBertForMaskedLM(config)
    table = model.get_input_embeddings().weight
    known = torch.from_numpy(np.abs(static).sum(1) > 0)
    with torch.no_grad():
        table[known] = torch.from_numpy(static)[known] * (0.02 * WIDTH**0.5)
    return model


def rate_at(step: int, steps: int) -> float:
    """Each phase warms up and decays to nothing."""
    phase = phase_of(step)
    begin, end = (0, min(steps, FIRST_STEPS)) if phase == 1 else (FIRST_STEPS, steps)
    warm_up = WARM_UP[phase]
    return PEAK_RATE[phase] * min((step - begin + 1) / warm_up, (end - step) / max(1, end - begin - warm_up))


def train(work: Path, batches: Batches, static: np.ndarray, steps: int) -> ModernBertForMaskedLM:
    model = new_model(static)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}],
        lr=PEAK_RATE[1], betas=(0.9, 0.98),
    )  # fmt: skip
    checkpoint, start = work / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    began, mean = time.time(), {}
    for step in range(start, steps):
        rate, phase = rate_at(step, steps), phase_of(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        parts = losses(model, batches(step), phase)
        weight = ALIGN_WEIGHT if phase == 1 else SECOND_ALIGN_WEIGHT
        loss = parts["masked_lm"] + weight * parts["align"] + SENTENCE_WEIGHT * parts["sentence"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        for key, value in parts.items():
            mean[key] = 0.98 * mean.get(key, float(value.detach())) + 0.02 * float(value.detach())
        if (step + 1) % 100 == 0:
            speed = (step + 1 - start) / (time.time() - began)
            record = {"step": step + 1, **{k: round(v, 3) for k, v in mean.items()}, "steps_per_s": round(speed, 3)}
            record["minutes_left"] = round((steps - step) / speed / 60, 1)
            with open(work / "log.jsonl", "a") as log:
                print(json.dumps(record), file=log)
            print(record, flush=True)
        if (step + 1) % 500 == 0 or step + 1 == steps:
            save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}, checkpoint)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder with LANGUAGES.tsv, corpora/, parallel/")
    parser.add_argument("--work", type=Path, required=True, help="where checkpoints and the finished encoder go")
    parser.add_argument("--steps", type=int, default=FIRST_STEPS + SECOND_STEPS)
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    batches, static = prepare(arguments.data, arguments.work)
    model = train(arguments.work, batches, static, arguments.steps)
    model.half().save_pretrained(arguments.work / "encoder")
    print("saved", arguments.work / "encoder")


if __name__ == "__main__":
    main()
