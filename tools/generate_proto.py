"""Generate the Python code of `proto/` into `libs/contracts/src/lykta` (committed); `--check` only compares."""

import argparse
import filecmp
import shutil
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
TARGET = ROOT / "libs" / "contracts" / "src" / "lykta"


def generate(out: Path) -> None:
    """Run protoc with the Python, gRPC and mypy plugins for every file under `proto/`."""
    include = str(Path(protoc.__file__).parent / "_proto")
    files = sorted(str(p.relative_to(PROTO)) for p in PROTO.rglob("*.proto"))
    bin_dir = Path(sys.executable).parent
    arguments = [
        "protoc",
        f"-I{PROTO}",
        f"-I{include}",
        f"--plugin=protoc-gen-mypy={bin_dir / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={bin_dir / 'protoc-gen-mypy_grpc'}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet:{out}",
        *files,
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed")


def files_under(root: Path) -> dict[str, Path]:
    """Map relative names to files, without caches."""
    return {str(p.relative_to(root)): p for p in root.rglob("*.py*") if p.is_file() and "__pycache__" not in p.parts}


def main() -> int:
    """Generate or compare; exit code 1 when the committed code is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the committed code differs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        generate(Path(name))
        fresh = Path(name) / "lykta"
        if arguments.check:
            new, old = files_under(fresh), files_under(TARGET)
            stale = sorted(
                k
                for k in new.keys() | old.keys()
                if k not in new or k not in old or not filecmp.cmp(new[k], old[k], shallow=False)
            )
            for item in stale:
                print(f"libs/contracts/src/lykta/{item}: out of date; run `make proto`")
            return 1 if stale else 0
        shutil.rmtree(TARGET, ignore_errors=True)
        shutil.copytree(fresh, TARGET)
    return 0


if __name__ == "__main__":
    sys.exit(main())
