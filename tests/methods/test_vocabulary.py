"""A language's own vocabulary: how its rows begin, that it is swapped whole and undone bit for bit, what is refused."""

from pathlib import Path
from typing import Literal

import pytest
import torch
from tiny_encoders import tokenizer
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from madx.adapters.spec import BottleneckSpec, InvertibleSpec
from madx.catalog.language import TextSource
from madx.config import InputError
from madx.corpora.prepare import Corpus
from madx.encoders.encoder import Encoder
from madx.encoders.vocabulary import FEWEST, Begun, begin, scripts
from madx.formats.tensors import load_tensors
from madx.formats.vocabulary import FILE, load_vocabulary
from madx.methods.loading import LOADED_BY, stored_in
from madx.methods.vocabulary import VocabularyAdapter
from madx.sharing.address import parse_address
from madx.sharing.fetch import fetch
from madx.sharing.push import push
from madx.stages.session import Session
from madx.stages.vocabulary import VocabularyStage
from madx.store import Store

IDS = torch.tensor([[1, 50, 60, 70, 80, 90, 2]])
OWN = torch.tensor([[1, 20, 30, 40, 50, 60, 2]])
LINES = [f"ሰላም ለዓለም እንዴት ነህ {i} and the sea is {i * 7 % 13} deep" for i in range(200)]
SPEC = BottleneckSpec(reduction_factor=2.0, invertible=InvertibleSpec())


@pytest.fixture(scope="module")
def amharic() -> PreTrainedTokenizerFast:
    made: PreTrainedTokenizerFast = tokenizer().train_new_from_iterator([LINES], 120, show_progress=False)
    return made


def stage(
    encoder: Encoder, folder: Path, start: Literal["script", "overlap"] = "script"
) -> tuple[VocabularyStage, Session]:
    """A vocabulary of Amharic and English lines, made."""
    (folder / "amh.txt").write_text("\n".join(LINES))
    session = Session(Store(folder / "store"), encoder.device)
    session.keep(encoder, encoder.ref)
    source = TextSource(file=str(folder / "amh.txt"))
    corpus = Corpus(language="amh", has_spaces=True, sources=(source,), digests=("1",), tokenizer=encoder.ref.digest,
                    block_size=16, max_tokens=10_000)  # fmt: skip
    made = VocabularyStage(encoder=encoder.ref, corpus=corpus, size=120, start=start)
    with session.store.claim(made.name) as at:
        assert at is not None
        session.store.finish(made.name, {"seconds": 0.0, "memory_mb": 0, "result": made.run(at, session)})
    return made, session


def begun_for(encoder: Encoder, amharic: PreTrainedTokenizerFast, seed: int = 1) -> Begun:
    return begin(encoder, amharic, seed)


def test_the_script_of_a_piece_is_that_of_its_first_letter(amharic: PreTrainedTokenizerFast) -> None:
    pieces = ["▁ሰላም", "▁the", "12", "▁", "1ж", "语"]
    assert scripts(amharic, pieces) == ["ETHIOPIC", "LATIN", "", "", "CYRILLIC", "CJK"]


def test_where_rows_begin(encoder_of_bert: Encoder, amharic: PreTrainedTokenizerFast) -> None:
    """Copied where the piece is an old one; else mean + deviation * e, of the old pieces of its script, or of all."""
    encoder = encoder_of_bert
    table = encoder.base.get_input_embeddings().weight.data  # type: ignore[operator]
    old, new = encoder.tokenizer.get_vocab(), amharic.get_vocab()
    latin = [n for (piece, n), s in zip(old.items(), scripts(encoder.tokenizer, list(old)), strict=True)
             if s == "LATIN"]  # fmt: skip
    assert len(latin) > FEWEST
    table[latin] += 100.0  # so that what was drawn from them shows
    begun = begun_for(encoder, amharic)
    assert begun.copied + begun.of_script + begun.of_all == len(new) == len(begun.rows_NE)
    assert begun.copied == len(old.keys() & new.keys()) > 10
    for piece in old.keys() & new.keys():
        assert torch.equal(begun.rows_NE[new[piece]], table[old[piece]]), piece
        assert begun.bias_N is not None
        assert begun.bias_N[new[piece]] == encoder.lm_head.bias[old[piece]]  # type: ignore[index]
    drawn = {piece: begun.rows_NE[n] for piece, n in new.items() if piece not in old}
    script = dict(zip(drawn, scripts(amharic, list(drawn)), strict=True))
    of_latin = [row for piece, row in drawn.items() if script[piece] == "LATIN"]
    assert all((row - 100.0).abs().max() < 1.0 for row in of_latin)
    ethiopic = torch.stack([row for piece, row in drawn.items() if script[piece] == "ETHIOPIC"])
    ordinary = torch.tensor([n for piece, n in old.items() if piece not in encoder.tokenizer.all_special_tokens])
    mean, deviation = table[ordinary].mean(0), table[ordinary].std(0, correction=0)
    assert len(ethiopic) >= 20
    apart = ((ethiopic - mean) / deviation).flatten()  # the encoder has no Ethiopic pieces: of all
    assert abs(float(apart.mean())) < 0.2
    assert float(apart.std()) == pytest.approx(1.0, abs=0.2)
    assert torch.equal(begun_for(encoder, amharic).rows_NE, begun.rows_NE)
    assert not torch.equal(begun_for(encoder, amharic, seed=2).rows_NE, begun.rows_NE)


def test_rows_begin_by_overlap(encoder_of_bert: Encoder, tmp_path: Path) -> None:
    made, session = stage(encoder_of_bert, tmp_path, start="overlap")
    result = session.result(made)
    assert result["of_overlap"] > 20  # the Amharic pieces, which stand in lines with English ones
    pieces = made.tokenizer(session).get_vocab()
    rows = load_tensors(session.folder(made) / FILE)["rows"]
    old = encoder_of_bert.tokenizer.get_vocab()
    table = encoder_of_bert.base.get_input_embeddings().weight  # type: ignore[operator]
    lowest, highest = table.min(0).values, table.max(0).values
    for piece, number in pieces.items():
        if piece in old:
            assert torch.equal(rows[number], table[old[piece]])
        elif "ሰ" in piece:
            assert bool(((lowest <= rows[number]) & (rows[number] <= highest)).all())  # a mean of old ones


def reading(encoder: Encoder) -> tuple[object, ...]:
    table, head = encoder.base.get_input_embeddings(), encoder.lm_head  # type: ignore[operator]
    return (encoder.tokenizer, table.weight, table.padding_idx, head.weight, head.bias, encoder.vocabulary,
            encoder.pad_id)  # fmt: skip


def answers(encoder: Encoder, ids: Tensor) -> Tensor:
    return encoder.masked_lm_logits(encoder.hidden(ids)[0]).detach()


def test_it_is_trained_saved_loaded_and_undone(encoder: Encoder, tmp_path: Path) -> None:
    if not encoder.lm_head.tied:
        with pytest.raises(InputError, match="its decoder isn't tied to its embeddings"):
            VocabularyAdapter(spec=SPEC).check(encoder)
        return
    made, session = stage(encoder, tmp_path)
    before, own, bits = answers(encoder, IDS), reading(encoder), encoder.lm_head.weight.detach().clone()
    method = VocabularyAdapter(spec=SPEC, begins_as=made)
    with method.borrowed(encoder):
        parameters = method.attach(encoder, "amh", 1, session)
        assert {key.partition(".")[0] for key in parameters} == {"adapter", "vocabulary"}
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        rows = parameters["vocabulary.rows"]
        assert encoder.lm_head.weight is rows  # the decoder follows
        assert encoder.tokenizer.convert_ids_to_tokens(encoder.tokenizer("ሰላም")["input_ids"])[1] == "▁ሰላም"
        began = rows.detach().clone()
        optimizer = torch.optim.SGD(parameters.values(), lr=0.1)
        encoder.masked_lm_loss(encoder.hidden(OWN)[0], OWN[0]).backward()
        assert int((rows.grad != 0).any(1).sum()) == len(rows)  # the softmax is over all of them
        optimizer.step()
        assert not torch.equal(rows, began)
        trained = answers(encoder, OWN)
        assert trained.shape[1] == len(rows) < encoder.model.config.vocab_size  # type: ignore[operator,union-attr]
        (tmp_path / "amh").mkdir()
        method.save(tmp_path / "amh", encoder, "amh", save_as="amh")
        encoder.activate()
        assert all(one is other for one, other in zip(reading(encoder), own, strict=True))
        assert torch.equal(answers(encoder, IDS), before)
    assert all(one is other for one, other in zip(reading(encoder), own, strict=True))
    assert torch.equal(encoder.lm_head.weight, bits)

    assert stored_in(tmp_path / "amh") == "vocabulary"
    with encoder.lent():
        LOADED_BY["vocabulary"].load(tmp_path / "amh", encoder, "a language")
        nothing = encoder.adapters.names
        assert nothing == ["a language, its adapter"]
        encoder.activate("a language")
        assert torch.equal(answers(encoder, OWN), trained)
        assert encoder.tokenizer("ሰላም the sea")["input_ids"] == load_vocabulary(tmp_path / "amh", encoder).tokenizer(
            "ሰላም the sea")["input_ids"]  # fmt: skip
    assert torch.equal(answers(encoder, IDS), before)


def test_two_makings_are_the_same_bytes(encoder_of_bert: Encoder, tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made, session = stage(encoder_of_bert, tmp_path / name)
        folder = session.folder(made)
        found.append([(folder / file).read_bytes() for file in (FILE, "tokenizer/tokenizer.json")])
    assert found[0] == found[1]


def test_held_out_lines_are_not_trained_on(encoder_of_bert: Encoder, tmp_path: Path) -> None:
    made, _ = stage(encoder_of_bert, tmp_path)
    used = list(made.corpus.to_train_on(None))
    assert 150 < len(used) < len(LINES)


def test_what_does_not_fit_is_refused(encoder_of_bert: Encoder, tiny: Encoder, tmp_path: Path) -> None:
    encoder = encoder_of_bert
    made, session = stage(encoder, tmp_path)
    folder = session.folder(made)
    tiny.lm_head.bias = None
    with pytest.raises(InputError, match="its decoder's bias doesn't fit"):
        load_vocabulary(folder, tiny)
    (folder / FILE).write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_vocabulary(folder, encoder)
    encoder.tokenizer.unk_token = None
    with pytest.raises(InputError, match="has no unknown token"):
        made.check(session)


def test_it_is_not_passed_on(encoder_of_bert: Encoder, tmp_path: Path) -> None:
    made, session = stage(encoder_of_bert, tmp_path)
    method = VocabularyAdapter(spec=SPEC, begins_as=made)
    with method.borrowed(encoder_of_bert):
        method.attach(encoder_of_bert, "amh", 1, session)
        (tmp_path / "amh").mkdir()
        method.save(tmp_path / "amh", encoder_of_bert, "amh", save_as="amh")
    for attempt in (
        lambda: push(tmp_path / "amh", parse_address(str(tmp_path / "place" / "amh"))),
        lambda: fetch(parse_address(str(tmp_path / "amh"))),
    ):
        with pytest.raises(InputError, match="its vocabulary belongs to it, and AdapterHub would ignore that"):
            attempt()
