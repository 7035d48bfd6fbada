"""Writes the gRPC stubs in `src/cllm4rec/_generated` from the repository's `proto` folder.

    python generate.py            # writes them
    python generate.py FOLDER     # writes them somewhere else: the test that compares does

It needs the `dev` extra: another version of grpcio-tools writes other bytes.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROTO = HERE.parent.parent / "proto"
GENERATED = HERE / "src" / "cllm4rec" / "_generated"
# What clients call; the workers' and the operators' side is not theirs.
SERVICES = ["dataset", "history", "model", "recommendation", "training"]
PACKAGE = "cllm4rec/v1"
DOCSTRING = '"""Made from the repository\'s `proto` folder by `generate.py`; not for editing."""\n'


def generate(target: Path) -> None:
    """Writes the stubs, their types and an `__init__.py` into a folder."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        compile_protos(Path(scratch))
        for written in sorted((Path(scratch) / PACKAGE).iterdir()):
            text = written.read_text(encoding="utf-8")
            (target / written.name).write_text(with_relative_imports(text), encoding="utf-8")
    (target / "__init__.py").write_text(DOCSTRING, encoding="utf-8")


def compile_protos(target: Path) -> None:
    """Runs protoc; `google/api` is only imported, googleapis-common-protos has its stubs."""
    import grpc_tools
    from grpc_tools import protoc

    well_known = Path(grpc_tools.__file__).parent / "_proto"
    arguments = ["protoc", f"--proto_path={PROTO}", f"--proto_path={well_known}"]
    arguments += [f"--{kind}_out={target}" for kind in ("python", "pyi", "grpc_python")]
    arguments += [f"{PACKAGE}/{service}.proto" for service in SERVICES]
    code = protoc.main(arguments)
    if code != 0:
        raise SystemExit(f"protoc ended with {code}; protos are read from {PROTO}")


def with_relative_imports(text: str) -> str:
    """Makes modules import each other wherever the package lies."""
    return re.sub(r"^from cllm4rec\.v1 import ", "from . import ", text, flags=re.MULTILINE)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else GENERATED)
