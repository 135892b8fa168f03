"""Reads the chart's commented values, and writes their JSON schema and their reference page from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MARK = "@schema"
_AMOUNTS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "cpu": {"type": ["string", "number"], "pattern": "^[0-9.]+m?$"},
        "memory": {"type": "string", "pattern": "^[0-9]+(Ki|Mi|Gi)$"},
    },
}
DEFINITIONS: dict[str, Any] = {
    "resources": {
        "type": "object",
        "additionalProperties": False,
        "required": ["requests"],
        "properties": {"requests": {**_AMOUNTS, "required": ["cpu", "memory"]}, "limits": _AMOUNTS},
    },
    "secretName": {"type": "string", "maxLength": 253, "pattern": "^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$"},
    "network": {"type": "string", "pattern": "^[0-9a-fA-F.:]+/[0-9]+$"},
    "networks": {"type": "array", "minItems": 1, "items": {"$ref": "#/definitions/network"}},
    "ports": {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 1, "maximum": 65535}},
    "settings": {
        "type": "object",
        "additionalProperties": False,
        "patternProperties": {"^[A-Z][A-Z0-9_]*$": {"type": ["string", "number", "boolean"]}},
    },
}
"""What several keys of the values share."""
ROOT = Path(__file__).resolve().parent.parent
HEADER = ROOT / "deploy" / "helm" / "lykta" / "files" / "README.header.md"


@dataclass(frozen=True)
class Key:
    """One key of the values: its path, default, comment, and what its schema adds. A group has keys below it."""

    path: tuple[str, ...]
    default: Any
    comment: str
    extra: dict[str, Any]
    children: tuple[Key, ...] = ()

    @property
    def name(self) -> str:
        """The path with dots."""
        return ".".join(self.path)


def read(text: str) -> tuple[Key, ...]:
    """Parse the values with their comments; raises ValueError for a key without a comment."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("values.yaml must be a mapping")
    return _keys(root, (), text.splitlines())


def _keys(node: yaml.MappingNode, prefix: tuple[str, ...], lines: list[str]) -> tuple[Key, ...]:
    found = []
    for name, value in node.value:
        path = (*prefix, str(name.value))
        comment, extra = _comment(lines, name.start_mark.line)
        if not comment:
            raise ValueError(f"values.yaml line {name.start_mark.line + 1}: {'.'.join(path)} has no comment")
        is_group = isinstance(value, yaml.MappingNode) and bool(value.value) and not extra
        children = _keys(value, path, lines) if is_group else ()
        found.append(Key(path, yaml.SafeLoader("").construct_document(value), comment, extra, children))
    return tuple(found)


def _comment(lines: list[str], line: int) -> tuple[str, dict[str, Any]]:
    words: list[str] = []
    extra: dict[str, Any] = {}
    above = line - 1
    while above >= 0 and lines[above].strip().startswith("#"):
        text = lines[above].strip().lstrip("#").strip()
        if text.startswith(MARK):
            extra = json.loads(text.removeprefix(MARK))
        else:
            words.insert(0, text)
        above -= 1
    return " ".join(words), extra


def schema(keys: tuple[Key, ...]) -> dict[str, Any]:
    """Return the JSON schema of the values: no unknown key at any level."""
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart lykta"}
    return {**head, "definitions": DEFINITIONS, **_object(keys)}


def _object(keys: tuple[Key, ...]) -> dict[str, Any]:
    properties = {key.path[-1]: _property(key) for key in keys}
    if keys and len(keys[0].path) == 1:
        properties["global"] = {"description": "Helm's own; the chart reads nothing of it.", "type": "object"}
    # Required although each has a default: `key: null` takes a key away, and with it a policy that is on by default.
    required = [key.path[-1] for key in keys]
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _property(key: Key) -> dict[str, Any]:
    described = {"description": key.comment}
    if "$ref" in key.extra:
        return {**described, "allOf": [key.extra]}
    if key.children:
        return described | _object(key.children)
    return described | (key.extra or _inferred(key))


def _inferred(key: Key) -> dict[str, Any]:
    match key.default:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer", "minimum": 0}
        case float():
            return {"type": "number", "minimum": 0}
        case str():
            return {"type": "string"}
        case list():
            return {"type": "array", "items": {"type": "string"}}
    raise ValueError(f"{key.name}: say its type with {MARK}")


def readme(keys: tuple[Key, ...], before: str = "") -> str:
    """Return the chart's reference page: its header, what comes before the values, and every value."""
    rows = "\n".join(_row(key) for key in leaves(keys))
    return f"{HEADER.read_text()}\n{before}\n| key | default | what it is |\n|---|---|---|\n{rows}\n"


def leaves(keys: tuple[Key, ...]) -> list[Key]:
    """Return the keys that hold a value, in order."""
    found = []
    for key in keys:
        found += leaves(key.children) if key.children else [key]
    return found


def _row(key: Key) -> str:
    default = json.dumps(key.default, ensure_ascii=False)
    return f"| `{key.name}` | `{default}` | {key.comment.replace('|', chr(92) + '|')} |"
