"""Writes docs/config.md from the `config.Settings` of every service; `--check` only compares.

A setting without a description is an error here: its unit and its reason belong in the code.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from lykta_common.config import ServiceSettings
from pydantic import BaseModel

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "config.md"
BOUNDS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}
LENGTHS = {
    "minLength": "≥ {} characters",
    "maxLength": "≤ {} characters",
    "minItems": "≥ {} items",
    "maxItems": "≤ {} items",
}
HEADER = """# Settings

Written by `make docs` from the `Settings` of each service. Do not edit.

Every setting is an environment variable. Unknown variables with a service's prefix are refused, and secrets are
never printed.
"""


def settings() -> list[tuple[str, str, type[BaseModel]]]:
    """Every service that has settings: its name, its charter and its model."""
    found = []
    for path in sorted(ROOT.glob("services/*/src/*/config.py")):
        package = path.parent.name
        charter = (importlib.import_module(package).__doc__ or "").strip().splitlines()
        model = importlib.import_module(f"{package}.config").Settings
        found.append((path.parents[2].name, charter[0] if charter else "", model))
    return found


def kind(schema: dict[str, Any]) -> str:
    """The type of a setting in words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind(option) for option in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map to {kind(schema['additionalProperties'])}"
    return str({"null": "nothing"}.get(schema.get("type", ""), schema.get("format", schema.get("type", "any"))))


def bounds(schema: dict[str, Any]) -> str:
    """The bounds of a setting in signs."""
    options = [schema, *schema.get("anyOf", [])]
    words = BOUNDS | LENGTHS
    return ", ".join(text.format(option[key]) for option in options for key, text in words.items() if key in option)


def shown(default: object) -> str:
    """A default value as code, or nothing where there is none."""
    return "" if default in (None, "") else f"`{json.dumps(default, ensure_ascii=False)}`"


def rows(model: type[BaseModel], prefix: str | None = None, without: Collection[str] = ()) -> list[str]:
    """The table rows of one model; raises SystemExit when a setting has no description."""
    prefix = str(model.model_config.get("env_prefix", "")) if prefix is None else prefix
    schema = model.model_json_schema(mode="validation")
    lines = []
    for name, body in sorted(schema.get("properties", {}).items()):
        if name in without:
            continue
        if not body.get("description"):
            where = f"{model.__module__}.{model.__name__}.{name}"
            raise SystemExit(f"{where}: no description. Say its unit and what it is for.")
        default = "**required**" if name in schema.get("required", []) else shown(body.get("default"))
        cells = [f"`{prefix}{name}`".upper(), kind(body), bounds(body), default, body["description"]]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return lines


def page() -> str:
    """The whole page."""
    shared = "Each service has these, under its own prefix (`LYKTA_AUDIT__NATS_URL`)."
    parts = [HEADER, section("every service", shared, rows(ServiceSettings, "lykta_<service>_"))]
    for name, charter, model in settings():
        parts.append(section(name, charter, rows(model, without=ServiceSettings.model_fields)))
    return "\n".join(parts)


def section(title: str, charter: str, lines: list[str]) -> str:
    """One part of the page: a heading, a sentence and a table."""
    table = ["| variable | type | bounds | default | what it is |", "|---|---|---|---|---|", *lines]
    return "\n".join([f"## {title}", "", charter, "", *table, ""])


def main() -> int:
    """Write or compare; the exit code is 1 when the page is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the page is out of date")
    text = page()
    if parser.parse_args().check:
        if not PAGE.exists() or PAGE.read_text() != text:
            print("docs/config.md: out of date; run `make docs`")
            return 1
        return 0
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
