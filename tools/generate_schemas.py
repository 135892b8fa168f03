"""Writes the JSON schema of every message and docs/asyncapi.yaml from lykta_contracts; `--check` only compares.

A schema that stands for a version already written may only gain optional fields; anything else is refused here
and wants a new version (`--unreleased` overrides, for versions no one outside has seen yet).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml
from lykta_contracts.events import EVENT_TYPES, CloudEvent, EventType, SegmentRecorded
from lykta_contracts.mandates import MandateOrder
from lykta_contracts.media import MediaKey
from lykta_contracts.model import Message
from lykta_contracts.permissions import FACTS
from lykta_contracts.platform_file import PlatformFile
from lykta_contracts.streams import MEDIA_SUBJECT, STREAMS

ROOT = Path(__file__).resolve().parent.parent
SCHEMAS = ROOT / "libs" / "contracts" / "schemas"
ASYNCAPI = ROOT / "docs" / "asyncapi.yaml"
OTHERS: dict[str, type[Message]] = {
    "cloudevent.v1": CloudEvent,
    "mandate-order.v1": MandateOrder,
    "media-key.v1": MediaKey,
    "platform-file.v1": PlatformFile,
}
WORDS_ONLY = {"title", "description", "examples", "default"}
FILE_STEMS = {row.name: f"{row.name}.v{row.version}" for row in EVENT_TYPES}


def schema(model: type[Message]) -> dict[str, Any]:
    """The schema of one model as a reader should use it: fields it does not know are allowed."""
    body: dict[str, Any] = opened(model.model_json_schema(mode="validation"))
    return body


def opened(node: Any) -> Any:
    """A schema without `additionalProperties: false`: writers are strict, readers are not."""
    if isinstance(node, dict):
        return {key: opened(value) for key, value in node.items() if (key, value) != ("additionalProperties", False)}
    return [opened(item) for item in node] if isinstance(node, list) else node


def schemas() -> dict[str, dict[str, Any]]:
    """All schemas by file stem."""
    events = {FILE_STEMS[row.name]: schema(row.model) | {"$id": row.schema} for row in EVENT_TYPES}
    return events | {name: schema(model) | {"$id": f"urn:lykta:schema:{name}"} for name, model in OTHERS.items()}


def breaks(old: Any, new: Any, where: str = "") -> list[str]:
    """What a reader of `old` would trip over in `new`; empty when `new` only adds optional fields."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new else [f"{where or '/'}: was {json.dumps(old)}, is {json.dumps(new)}"]
    found = []
    named = where.endswith(("/properties", "/$defs"))
    for key in old.keys() | new.keys():
        if key in WORDS_ONLY and not named:
            continue
        place = f"{where}/{key}"
        if key not in new:
            found.append(f"{place}: is gone")
        elif key == "required":
            found += [f"{place}: {field} is {how}" for field, how in requirement_changes(old.get(key, []), new[key])]
        elif key in old:
            found += breaks(old[key], new[key], place)
        elif not named and key not in ("properties", "$defs"):
            found.append(f"{place}: is new")
    return sorted(found)


def requirement_changes(old: list[str], new: list[str]) -> list[tuple[str, str]]:
    """Which fields became required, or are no longer sure to be there."""
    return [(f, "required now") for f in set(new) - set(old)] + [(f, "optional now") for f in set(old) - set(new)]


def has_camera(row: EventType) -> bool:
    """Whether the subject of an event ends in a camera."""
    return row.model is SegmentRecorded or "camera" in row.model.model_fields


def writers(row: EventType) -> list[str]:
    """The services whose NATS user may publish an event (audit.observed: all)."""
    if row.name == "audit.observed":
        return sorted(FACTS)
    noun, verb = row.name.split(".")
    prefixes = {f"lykta.v1.*.{noun}.{verb}", f"lykta.v1.*.{noun}"}
    return sorted(
        s for s, subjects in FACTS.items() if {x.removesuffix(".*").removesuffix(".>") for x in subjects} & prefixes
    )


def stream_of(row: EventType) -> str:
    """The JetStream stream that keeps an event."""
    return next(stream.name for stream in STREAMS if row.name.split(".")[0] in stream.nouns)


def summary(model: type[Message]) -> str:
    """The first line of a model's docstring."""
    return (model.__doc__ or "").strip().splitlines()[0]


def channel(row: EventType) -> dict[str, Any]:
    """The AsyncAPI channel of one event."""
    message, address = FILE_STEMS[row.name], f"lykta.v1.{{controller}}.{row.name}"
    used = ["controller", "camera"] if has_camera(row) else ["controller"]
    return {
        "address": address + (".{camera}" if has_camera(row) else ""),
        "description": f"Kept in the stream {stream_of(row)}; stated by {', '.join(writers(row))}.",
        "parameters": {name: {"description": f"slug of the {name}"} for name in used},
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
    }


def message(row: EventType) -> dict[str, Any]:
    """The AsyncAPI message of one event: the CloudEvents envelope around the event's own schema."""
    properties = {
        "type": {"const": row.type},
        "dataschema": {"const": row.schema},
        "data": {"$ref": f"../libs/contracts/schemas/{FILE_STEMS[row.name]}.json"},
    }
    envelope = {"$ref": "../libs/contracts/schemas/cloudevent.v1.json"}
    return {
        "name": row.type,
        "summary": summary(row.model),
        "contentType": "application/cloudevents+json",
        "payload": {"allOf": [envelope, {"type": "object", "properties": properties}]},
    }


def operation(name: str, what: str) -> dict[str, Any]:
    """The AsyncAPI operation that tells something on a channel."""
    return {"action": "send", "channel": {"$ref": f"#/channels/{name}"}, "summary": what}


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3 description of everything the platform tells."""
    channels = {row.name: channel(row) for row in EVENT_TYPES}
    operations = {f"tell-{row.name}": operation(row.name, summary(row.model)) for row in EVENT_TYPES}
    messages = {FILE_STEMS[row.name]: message(row) for row in EVENT_TYPES}
    channels["media"] = {
        "address": MEDIA_SUBJECT,
        "description": "Live parts, at most 500 ms each, core NATS: loss is normal (docs/design/wire.md).",
        "parameters": {name: {"description": f"slug of the {name}"} for name in ("controller", "camera")},
        "messages": {"part": {"$ref": "#/components/messages/part"}},
    }
    operations["tell-media"] = operation("media", "A live part.")
    binary = {"type": "string", "format": "binary"}
    messages["part"] = {"name": "part", "summary": "moof and mdat.", "contentType": "video/mp4", "payload": binary}
    info = "Facts as CloudEvents 1.0 (JSON) over NATS JetStream, at least once; `id` is the deduplication key."
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Lykta", "version": "1", "description": info, "license": {"name": "Apache-2.0"}},
        "defaultContentType": "application/cloudevents+json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def outputs() -> dict[Path, str]:
    """Every generated file and its text."""
    files = {
        SCHEMAS / f"{name}.json": json.dumps(body, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        for name, body in schemas().items()
    }
    header = "# Written by `make schemas` from lykta_contracts. Do not edit.\n"
    return files | {ASYNCAPI: header + yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=120)}


def incompatible(files: dict[Path, str]) -> list[str]:
    """Every written schema that a reader of its committed version could not read."""
    found = []
    for path, text in files.items():
        if path.suffix == ".json" and path.exists():
            found += [f"{path.name}{what}" for what in breaks(json.loads(path.read_text()), json.loads(text))]
    return found


def main(arguments: list[str] | None = None) -> int:
    """Write or compare; the exit code is 1 when something is stale or incompatible."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a file is out of date")
    parser.add_argument("--unreleased", action="store_true", help="write even what breaks readers of a version")
    options = parser.parse_args(arguments)
    files = outputs()
    broken = [] if options.unreleased else incompatible(files)
    for what in broken:
        print(f"{what}. Raise the version of the event in lykta_contracts.events and keep the old one readable.")
    gone = [path for path in SCHEMAS.glob("*.json") if path not in files]
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    if options.check:
        for path in [*stale, *gone]:
            print(f"{path.relative_to(ROOT)}: out of date; run `make schemas`")
        return int(bool(stale or gone or broken))
    if broken:
        return 1
    SCHEMAS.mkdir(parents=True, exist_ok=True)
    for path in stale:
        path.write_text(files[path])
    for path in gone:
        print(f"{path.relative_to(ROOT)}: no model stands behind it any more; delete it when no reader needs it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
