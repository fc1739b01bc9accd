"""The model card: `README.md` beside an adapter, written from its manifest and from the runs that scored it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from madx.foreign import markdown_text
from madx.formats.manifest import read_manifest, seal, without_place
from madx.writing import write_text

Score = dict[str, Any]  # a row of scores.csv


def seal_with_card(folder: Path, about: dict[str, Any]) -> None:
    """The manifest and the card of an adapter that was just made: the last things that are done to its folder."""
    seal(folder, about)
    write_card(folder, folder.name)


def write_card(folder: Path, name: str, scores: Sequence[Score] = ()) -> None:
    """`name`: how the adapter is called where it is published, or its folder."""
    write_text(folder / "README.md", card(read_manifest(folder), name, scores))


def card(about: dict[str, Any], name: str, scores: Sequence[Score] = ()) -> str:
    """Markdown with the Hub's front matter. What the manifest doesn't know is left out, never guessed."""
    from huggingface_hub import ModelCardData

    base = about.get("base_model") or {}
    subject = about.get("language") or about.get("task") or name
    kind = about.get("kind", "adapter")
    licences = sorted({s["licence"] for s in _sources(about) if s.get("licence")})
    front: dict[str, Any] = {"tags": ["adapter-transformers", "madx", kind.replace(" ", "-")]}
    if about.get("language"):
        front["language"] = [str(about["language"]).split("-")[0]]
    if base.get("name") and "/" in without_place(base["name"]):
        front["base_model"] = base["name"]
    lines = [
        "---",
        ModelCardData(**front).to_yaml().strip(),
        "---",
        "",
        f"# {_text(kind.capitalize())}: {_text(subject)}",
        "",
    ]
    facts = [("base model", f"{_text(base['name'])} ({_code(base.get('digest', '?'))})")] if base.get("name") else []
    facts += [(key.replace("_", " "), _text(about[key])) for key in ("language", "task") if about.get(key)]
    if about.get("source"):
        facts.append(("source languages", _text(", ".join(about["source"]))))
    if about.get("language_adapters"):
        facts.append(("trained over the language adapters of", _text(", ".join(about["language_adapters"]))))
    loss = about.get("held_out_loss")
    if loss:
        facts.append(("masked-LM loss on held-out text", f"{loss['before']:.3f} before, {loss['after']:.3f} after"))
    facts += [
        (f"{_text(key)} (hyper-parameter)", _code(value)) for key, value in about.get("hyper_parameters", {}).items()
    ]
    facts += [(f"{_text(key)} (version)", _text(value)) for key, value in about.get("versions", {}).items()]
    lines += ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in facts), ""]
    if _sources(about):
        lines += ["## Text", ""]
        for source in _sources(about):
            where = source.get("name") or source.get("hub") or Path(str(source.get("file", ""))).name
            lines.append(f"- {_text(where)}: {_text(source.get('licence') or 'licence not recorded')}")
        kept = about["corpus"].get("tokens")
        lines += ["", f"{kept} tokens after cleaning." if kept else "", ""]
        if any("NC" in licence for licence in licences):
            lines += ["Some of the text is licensed for non-commercial use only.", ""]
    if scores:
        lines += ["## Scores", "", "Percent; 95 % bootstrap interval over the test set's examples.", ""]
        lines += [
            "| task | metric | method | source | target | seed | score | interval |",
            "|---|---|---|---|---|--:|--:|---|",
        ]
        lines += [
            "| "
            + " | ".join(_text(s[key]) for key in ("task", "metric", "method", "source", "target", "seed"))
            + f" | {float(s['value']):.1f} | {float(s['ci_low']):.1f} to {float(s['ci_high']):.1f} |"
            for s in scores
        ]
        lines.append("")
    lines += ["## How to use it", "", "In [madx](https://pypi.org/project/madx-adapters/), in a recipe:", ""]
    if about.get("kind") == "language adapter":
        lines += ["```toml", f'language_adapters = {{ {subject} = "{name}" }}', "```", ""]
    lines += ["or as a folder:", "", "```sh", f"madx adapters pull {name} --to {subject}", "```", ""]
    lines += ["In AdapterHub's `adapters` 1.3:", "", "```python"]
    lines += [f'model.load_adapter("{subject}", use_safetensors=True)  # the folder', "```", ""]
    return "\n".join(lines)


def _text(value: object) -> str:
    return markdown_text(str(value))


def _code(value: object) -> str:
    return f"`{' '.join(str(value).split()).replace('`', chr(39)).replace('|', ' ')}`"


def _sources(about: dict[str, Any]) -> list[dict[str, Any]]:
    corpus = about.get("corpus")
    return list(corpus.get("sources", [])) if isinstance(corpus, dict) else []
