"""Recipes with slips in them: read, or refused in one line that names the file, within two seconds."""

import os
import random
import time
from pathlib import Path

from madx.config import InputError
from madx.pipeline.project import QUICKSTART
from madx.pipeline.recipe import load_recipe

ROUNDS = int(os.environ.get("MADX_MUTATIONS", "600"))
FULL = """
name = "all"
model = "mini"
revision = "main"
precision = "fp32"
tasks = ["pos", "ner"]
source = ["eng"]
targets = ["swe", "fao"]
methods = ["madx", "tlr", "full"]
seeds = [1, 2, 3]
without_text = ["fao"]
relatives = ["dan"]
trackers = ["tensorboard"]
[text]
swe = ["a.txt", "b.txt"]
[parallel]
swe = ["a", "b"]
[language_adapters]
eng = "me/eng"
[language_adapter]
reduction_factor = 2.0
invertible = "nice"
leave_out = [-1]
steps = 100
batch_tokens = 4096
learning_rate = 1e-4
near = 0.1
[task_adapter]
epochs = 3
checkpoint = "last"
[limit.full]
seeds = [1]
targets = ["swe"]
[domain]
name = "law"
text = ["law.txt"]
[evaluation]
bootstrap = 10
"""
VALUES = (
    "0", "-1", "1e308", "1" * 400, "nan", "inf", '""', '"x"', "[]", "[[]]", "{}", "true", "1979-05-27", '"\\u0000"',
    "[" * 200 + "]" * 200, '["swe", "swe"]', '"../../etc/passwd"', "0x7fffffffffffffff", "'''\n'''", '"💥"',
)  # fmt: skip


def slipped(text: str, chance: random.Random) -> bytes:
    lines = text.split("\n")
    for _ in range(chance.randint(1, 3)):
        number = chance.randrange(len(lines))
        match chance.randrange(6):
            case 0:  # another value
                lines[number] = lines[number].split("=")[0] + "= " + chance.choice(VALUES)
            case 1:  # a line twice, or elsewhere
                lines.insert(chance.randrange(len(lines)), lines[number])
            case 2:  # a line less
                lines[number] = ""
            case 3:  # a letter less
                at = chance.randrange(len(lines[number]) + 1)
                lines[number] = lines[number][:at] + lines[number][at + 1 :]
            case 4:  # a letter more
                at = chance.randrange(len(lines[number]) + 1)
                lines[number] = lines[number][:at] + chance.choice('[]{}"=.#\t\\x') + lines[number][at:]
            case 5:
                lines[number] = "[" + chance.choice(["limit.madx", "task_adapter", "a.b.c", "text", "", "[x]"]) + "]"
    data = "\n".join(lines).encode()
    if chance.random() < 0.1:
        at = chance.randrange(len(data))
        data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
    return data


def test_every_slip_is_read_or_named_in_a_line(tmp_path: Path) -> None:
    texts, path, kinds = (
        [FULL, (QUICKSTART / "recipe.toml").read_text(encoding="utf-8")],
        tmp_path / "recipe.toml",
        {"read": 0, "refused": 0},
    )
    for number in range(ROUNDS):
        chance = random.Random(number)
        path.write_bytes(slipped(chance.choice(texts), chance))
        began = time.perf_counter()
        refused = None
        try:
            recipe = load_recipe(path)
        except InputError as error:
            refused = str(error)
        assert time.perf_counter() - began < 2, number
        if refused is not None:
            kinds["refused"] += 1
            assert "\n" not in refused, (number, refused)
            assert len(refused) < 2000, number
            assert "recipe.toml" in refused, (number, refused)
            continue
        kinds["read"] += 1
        again = tmp_path / "again.toml"
        again.write_text(recipe.toml(), encoding="utf-8")
        assert load_recipe(again) == recipe, number
    assert min(kinds.values()) > ROUNDS / 20
