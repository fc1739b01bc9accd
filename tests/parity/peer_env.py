"""Make `.venv-peer`: AdapterHub's `adapters` 1.3.0 on the transformers that it is pinned to, apart from madx.

python tests/parity/peer_env.py
"""

import subprocess
import sys
import venv
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".venv-peer"
PYTHON = FOLDER / "bin" / "python"
PACKAGES = ("adapters==1.3.0", "transformers==4.57.6", "torch==2.13.0", "accelerate==1.15.0", "numpy", "safetensors")
READY = FOLDER / "ready"


def make() -> Path:
    """The peer's interpreter; the environment is made once, and again when PACKAGES change."""
    wanted = "\n".join(PACKAGES) + "\n"
    if not READY.exists() or READY.read_text() != wanted:
        venv.create(FOLDER, with_pip=True, clear=True)
        subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        READY.write_text(wanted)
    return PYTHON


def versions() -> dict[str, dict[str, str]]:
    """What a comparison was made with: the peer's packages and ours."""
    from importlib.metadata import version

    return {
        "peer": dict(package.split("==") for package in PACKAGES if "==" in package),
        "madx": {name: version(name) for name in ("madx-adapters", "torch", "transformers")},
    }


if __name__ == "__main__":
    sys.exit(print(make()))
