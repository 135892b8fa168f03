"""The model card: what a model is, where it comes from, what it may do, and what no model here may ever do."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=300)]


class ModelError(ValueError):
    """A model that cannot be used; `reason` is a constant word a program can test.

    A `ValueError`, so that a refusal inside validation is reported with its field.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


class Capability(StrEnum):
    """What a model may be used for; anything not listed here is refused."""

    OBJECT_PRESENCE = "object_presence"
    IMAGE_QUALITY = "image_quality"
    SCENE_CHANGE = "scene_change"


class OutputKind(StrEnum):
    """What a model may put out; there is no kind that describes one person."""

    BOX = "box"
    CLASS_SCORE = "class_score"
    IMAGE_SCORE = "image_score"


PROHIBITED: Final[dict[str, tuple[str, ...]]] = {
    "face_recognition": ("face", "facial", "visage", "watchlist"),
    "re_identification": (
        "reid", "reidentification", "embedding", "feature vector", "appearance search", "gait", "identity",
        "identification", "biometric", "iris", "fingerprint",
    ),
    "emotion_recognition": ("emotion", "sentiment", "mood", "angry", "happy", "sad", "fear", "valence", "arousal"),
    "intent_inference": ("intent", "intention", "suspicious", "aggression", "deception", "nervous"),
    "person_attributes": (
        "age", "gender", "sex", "male", "female", "man", "woman", "boy", "girl", "ethnicity", "ethnic", "race",
        "racial", "skin", "religion", "demographic",
    ),
    "number_plates": ("anpr", "alpr", "lpr", "plate", "licence plate", "license plate", "number plate"),
    "individual_risk_score": ("risk score", "threat score", "risk", "threat", "propensity", "social score"),
}  # fmt: skip
"""Prohibited uses and the words that betray them (AI Act art. 5 and annex III; kamerabevakningslagen 14 c §)."""


def prohibited_use(texts: Iterable[str]) -> str | None:
    """Names the prohibited use that one of the texts speaks of, or None; spelling marks and case do not matter."""
    for text in texts:
        for spelling in (text, re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)):
            words = f" {' '.join(re.findall(r'[a-z0-9]+', spelling.lower()))} "
            for use, signs in PROHIBITED.items():
                if any(_speaks_of(words, sign) for sign in (*signs, use.replace("_", " "))):
                    return use
    return None


def _speaks_of(words: str, sign: str) -> bool:
    """Long signs are also found run together with other words; short ones only as whole words (`age`, not `image`)."""
    if f" {sign} " in words or f" {sign}s " in words:
        return True
    joined = sign.replace(" ", "")
    return len(joined) >= 7 and joined in words.replace(" ", "")


class Frozen(BaseModel):
    """An immutable value with no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class SourceFile(Frozen):
    """One file of the published package and the digest it must have."""

    path: Text
    sha256: Sha256


class ModelSource(Frozen):
    """Where the published weights come from; `architecture` names the paper's or project's own repository."""

    registry: Text
    package: Text
    version: Text
    files: tuple[SourceFile, ...] = Field(min_length=1)
    architecture: Text


class ConvertedModel(Frozen):
    """The file that really runs: digests over the runtime's own format, recorded when it was converted."""

    format: Text
    runtime: Text
    runtime_version: Text
    graph_sha256: Sha256
    sha256: Sha256


class ModelInput(Frozen):
    """What the network wants to see: pixels, channel order, and normalisation per channel."""

    width_px: int = Field(gt=0, le=4096)
    height_px: int = Field(gt=0, le=4096)
    channel_order: Text
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


class ModelCard(Frozen):
    """Everything that must be known of a model before it may look at a public place.

    A card that names a prohibited use anywhere (capabilities, task, name, outputs or labels) cannot be built; there is
    no flag to allow it. Raises pydantic's `ValidationError`, whose text carries `prohibited_capability`.
    """

    name: Text
    version: Text
    task: Text
    licence: Text
    weights_licence: Text
    source: ModelSource
    input: ModelInput
    outputs: tuple[OutputKind, ...] = Field(min_length=1)
    labels: tuple[Text, ...] = Field(min_length=1)
    capabilities: tuple[Capability, ...] = Field(min_length=1)
    limitations: Text
    converted: ConvertedModel | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_prohibited(cls, raw: object) -> object:
        if isinstance(raw, dict):
            texts = [raw.get("name"), raw.get("task"), *_texts(raw, "capabilities", "outputs", "labels")]
            use = prohibited_use(text for text in texts if isinstance(text, str))
            if use is not None:
                raise ModelError("prohibited_capability", f"{use} is never run here; there is no way to allow it")
        return raw

    @property
    def sha256(self) -> str:
        """Digest of the file that runs; raises `ModelError` (`not_converted`) for a card without one."""
        if self.converted is None:
            raise ModelError("not_converted", f"model {self.name} has not been converted yet")
        return self.converted.sha256

    def checked(self) -> Self:
        """Validates the card again as if it came from outside, so that a card built past the rules is still refused."""
        return type(self).model_validate_json(self.model_dump_json(warnings=False))


def _texts(raw: dict[str, object], *fields: str) -> list[object]:
    found: list[object] = []
    for field in fields:
        value = raw.get(field)
        found.extend(value if isinstance(value, (list, tuple, set, frozenset)) else [value])
    return found
