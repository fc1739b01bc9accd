"""The rooms and their layers: a room imports only rooms of a lower layer, and foreign libraries have doors."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "madx"
LAYERS = {
    "config": 0, "foreign": 0.3, "writing": 0.4, "shared": 0.4, "store": 0.5, "device": 0.5,
    "catalog": 1, "adapters": 1, "scores": 1,
    "encoders": 2, "corpora": 2, "training": 2,
    "formats": 3, "tasks": 4, "step": 4.5, "sharing": 5, "methods": 5,
    "stages": 6, "prediction": 7, "report": 7, "pipeline": 7.5, "api": 8, "cli": 9, "__main__": 10, "__init__": 0,
}  # fmt: skip
DOORS = {"typer": {"cli"}, "rich": {"cli"}, "jinja2": {"report"}, "vl_convert": {"report"},
         "transformers": {"encoders"}, "accelerate": {"training"}, "seqeval": {"tasks"}, "fastapi": {"prediction"},
         "uvicorn": {"cli"}, "optuna": {"pipeline"}, "onnxruntime": {"prediction"}, "ray": {"pipeline", "stages"},
         "flwr": {"stages"}, "fsspec": {"shared"},
         "submitit": {"pipeline"}, "uroman": {"corpora"}, "urielplus": {"catalog"}}  # fmt: skip


def imports(path: Path) -> set[str]:
    """What is imported when it runs; types alone may come from above."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    for block in [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]:
        block.body.clear()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "madx":
                found.update(f"madx.{name}" for name in (alias.name for alias in node.names) if is_module(name))
    return found


def is_module(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def test_every_import_points_to_a_lower_layer() -> None:
    seen = 0
    for path in PACKAGE.rglob("*.py"):
        here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for module in imports(path) if here != "__init__" else ():  # its public names are api's, asked for lazily
            if module.startswith("madx"):
                there = room(module)
                assert here == there or LAYERS[there] < LAYERS[here], f"{path} imports {module}"
                seen += 1
    assert seen > 100


def test_foreign_libraries_have_doors() -> None:
    for path in PACKAGE.rglob("*.py"):
        here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for module in imports(path):
            library = module.split(".")[0]
            assert here in DOORS.get(library, {here}), f"{path} imports {module}"
