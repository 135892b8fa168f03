"""The one base of every message: frozen, and strict about fields it does not know when it is built."""

from typing import Self

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """A frozen value; unknown fields are refused when it is built and ignored when it is read from a peer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> bytes:
        """Encode as JSON (UTF-8)."""
        return self.model_dump_json().encode()

    @classmethod
    def from_json(cls, raw: bytes | str) -> Self:
        """Decode what a peer sent; raises `pydantic.ValidationError`. Fields of a newer minor version are ignored."""
        return cls.model_validate_json(raw, extra="ignore")
