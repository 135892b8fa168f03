"""The generators: what they refuse, and that what they write is whole."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
import yaml
from lykta_contracts.events import EVENT_TYPES
from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from tools import generate_config_docs, generate_schemas
from tools.generate_schemas import breaks

OLD: dict[str, Any] = {
    "properties": {"title": {"type": "string"}, "kind": {"$ref": "#/$defs/Kind"}},
    "required": ["title"],
    "$defs": {"Kind": {"enum": ["a", "b"]}},
}


def changed(**changes: Any) -> dict[str, Any]:
    """The old schema with some of its keys replaced."""
    return OLD | changes


@pytest.mark.parametrize(
    ("new", "where"),
    [
        (changed(properties={"kind": OLD["properties"]["kind"]}), "/properties/title: is gone"),
        (changed(required=["title", "kind"]), "/required: kind is required now"),
        (changed(required=[]), "/required: title is optional now"),
        (changed(properties=OLD["properties"] | {"title": {"type": "integer"}}), "/properties/title/type: was"),
        (changed(**{"$defs": {"Kind": {"enum": ["a", "b", "c"]}}}), "/$defs/Kind/enum: was"),
        (
            changed(properties=OLD["properties"] | {"title": {"type": "string", "maxLength": 3}}),
            "/title/maxLength: is new",
        ),
    ],
)
def test_a_change_that_trips_a_reader_is_named(new: dict[str, Any], where: str) -> None:
    """Removing, requiring, retyping, narrowing and widening a field are each found and named."""
    found = breaks(OLD, new)
    assert len(found) == 1
    assert where in found[0]


def test_an_optional_field_and_other_words_are_no_break() -> None:
    """A new optional field, a new definition and another description are fine."""
    properties = OLD["properties"] | {"note": {"$ref": "#/$defs/Note"}}
    new = changed(properties=properties, description="other", **{"$defs": OLD["$defs"] | {"Note": {"type": "string"}}})
    assert breaks(OLD, new) == []


def test_every_event_has_a_valid_schema_that_lets_new_fields_through() -> None:
    """Every event type has a schema of JSON Schema 2020-12 and none refuses fields of a later release."""
    schemas = generate_schemas.schemas()
    assert {f"{row.name}.v{row.version}" for row in EVENT_TYPES} < set(schemas)
    for body in schemas.values():
        jsonschema.Draft202012Validator.check_schema(body)
        assert '"additionalProperties": False' not in str(body)


def test_the_asyncapi_page_names_a_writer_and_a_stream_for_every_event() -> None:
    """Every event has a channel, an operation, a message, a stream and at least one service that may state it."""
    page = yaml.safe_load(generate_schemas.outputs()[generate_schemas.ASYNCAPI])
    for row in EVENT_TYPES:
        assert page["channels"][row.name]["address"].startswith("lykta.v1.{controller}." + row.name)
        assert f"tell-{row.name}" in page["operations"]
        assert generate_schemas.writers(row), row.name
        assert generate_schemas.stream_of(row), row.name


def test_an_incompatible_schema_is_not_written(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema that would break the committed one is named, and the file stays as it was."""
    target = tmp_path / "x.v1.json"
    target.write_text('{"properties": {"a": {"type": "string"}}}')
    monkeypatch.setattr(generate_schemas, "outputs", lambda: {target: '{"properties": {}}'})
    monkeypatch.setattr(generate_schemas, "SCHEMAS", tmp_path)
    monkeypatch.setattr(generate_schemas, "ROOT", tmp_path)
    assert generate_schemas.main([]) == 1
    assert "string" in target.read_text()
    assert generate_schemas.main(["--unreleased"]) == 0
    assert "string" not in target.read_text()


def test_a_setting_without_a_description_is_refused() -> None:
    """A setting that does not say what it is for stops the generator, by name."""

    class Settings(BaseModel):
        spool_bytes: int = 1

    with pytest.raises(SystemExit, match="spool_bytes: no description"):
        generate_config_docs.rows(Settings)


def test_a_setting_is_shown_with_its_variable_bounds_and_default() -> None:
    """A row of the page holds the variable, the type, the bounds, the default and the description."""

    class Settings(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="lykta_x_")
        spool_bytes: int = Field(default=5, ge=1, le=9, description="spool, bytes")
        url: str = Field(description="where | what")

    first, second = generate_config_docs.rows(Settings)
    assert first == "| `LYKTA_X_SPOOL_BYTES` | integer | ≥ 1, ≤ 9 | `5` | spool, bytes |"
    assert second == "| `LYKTA_X_URL` | string |  | **required** | where \\| what |"
