"""Writes the lock files from pyproject.toml: `make lock` `make lock CHECK=1` (compare only)."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

from tools.images.packages import LEFT_OUT, MEMBERS, TABLE, requirement_name

ROOT = Path(__file__).resolve().parent.parent
UV = ROOT / ".venv" / "bin" / "uv"
MARKER = re.compile(r" ; (?P<marker>.*?)(?= \\$|$)", re.MULTILINE)
VARIABLE = re.compile(r"\b(\w+) [=!<>]")
SUPPORTED = ("sys_platform", "implementation_name", "platform_python_implementation")  # Linux and macOS, CPython
HEADER = "# Written by `make lock` from pyproject.toml: {what}. Do not edit.\n"
OUTPUTS = {
    "tools/requirements-bootstrap.txt": "uv and the build tools, installed by pip before all others",
    "requirements.lock": "what the platform runs with",
    "requirements-dev.lock": "what tests and checks need beyond requirements.lock",
    "tools/requirements-strangers.txt": "what builds strangers' programs for the tests",
}


def export(*selection: str) -> dict[str, str]:
    """The pins of a selection: name and version to its lines, hashes included."""
    command = [str(UV), "export", "-q", "--format", "requirements-txt", "--no-emit-workspace", "--no-header"]
    command += ["--no-annotate", *selection]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return blocks(MARKER.sub(without_support, text))


def without_support(match: re.Match[str]) -> str:
    """A marker, or nothing where it only names the systems and the interpreter that are supported anyway.

    uv writes those in one of several equivalent forms, so that they would differ from one machine to the next.
    """
    both = "'linux'" in match["marker"] and "'darwin'" in match["marker"]
    return "" if both and set(VARIABLE.findall(match["marker"])) <= set(SUPPORTED) else match.group()


def blocks(text: str) -> dict[str, str]:
    """Split a requirements file into its pins, each with the hash lines that follow it."""
    pins: dict[str, str] = {}
    for block in re.split(r"(?m)^(?=[A-Za-z0-9])", text):
        if block.strip():
            pins[block.split()[0]] = block.rstrip("\n") + "\n"
    return pins


def render(what: str, pins: dict[str, str]) -> str:
    """A lock file's whole text; refuses to carry an address."""
    text = HEADER.format(what=what) + "".join(pins[name] for name in sorted(pins))
    if "://" in text:
        raise SystemExit("lock: an address stands in the export; lock files carry names, versions and hashes only.")
    return text


def wanted() -> dict[str, str]:
    """Resolve afresh and return the text of every lock file by its path; `exclude-newer` makes this repeatable."""
    subprocess.run([str(UV), "lock", "-q", "--upgrade"], cwd=ROOT, check=True)
    bootstrap = export("--only-group", "bootstrap")
    runtime = export("--no-dev", "--group", "bootstrap")
    everything = export("--all-packages", "--all-groups", "--no-group", "strangers")
    runtime = {name: text for name, text in runtime.items() if not name.startswith("uv==")}
    beyond = {name: text for name, text in everything.items() if name not in runtime and not name.startswith("uv==")}
    parts = (bootstrap, runtime, beyond, export("--only-group", "strangers"))
    texts = {path: render(what, pins) for (path, what), pins in zip(OUTPUTS.items(), parts, strict=True)}
    return texts | {TABLE: image_table()}


def image_table() -> str:
    """The packages that all images hold and those that each adds, as a TOML file; pins stay in requirements.lock."""
    text = HEADER.format(what="the packages that all images hold, and those that each adds")
    shared: set[str] = set()
    for image, member in MEMBERS.items():
        pruned = [argument for name in LEFT_OUT.get(image, ()) for argument in ("--prune", name)]
        found = {requirement_name(pin) for pin in export("--no-dev", "--package", member, *pruned)}
        names, shared = sorted(found - shared), shared or found
        listed = textwrap.fill(", ".join(f'"{name}"' for name in names), 116, break_on_hyphens=False)
        text += f"{image} = [\n{textwrap.indent(listed, '    ')},\n]\n" if names else f"{image} = []\n"
    return text


def main() -> None:
    """Write the lock files, or with `--check` say which of them no longer fit pyproject.toml."""
    texts = wanted()
    stale = [path for path, text in texts.items() if not (ROOT / path).exists() or (ROOT / path).read_text() != text]
    if "--check" in sys.argv:
        if stale:
            raise SystemExit(
                f"lock: {', '.join(stale)} do not fit pyproject.toml; run `make lock` and commit the result."
            )
        print("lock: up to date")
        return
    for path in stale:
        (ROOT / path).write_text(texts[path])
    print(f"lock: {'wrote ' + ', '.join(stale) if stale else 'up to date'}")


if __name__ == "__main__":
    main()
