"""The model registry: fetched, converted and verified models in a local directory, one folder per name and version."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from lykta_analytics.models.card import ModelCard, ModelError

CARD_FILE: Final = "card.json"
GRAPH_FILE: Final = "model.xml"
WEIGHTS_FILE: Final = "model.bin"


def digest(*paths: Path) -> str:
    """SHA-256 (hex) over the files' bytes one after another, in the order given; reads in blocks."""
    running = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                running.update(block)
    return running.hexdigest()


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model whose files on disk have been checked against its card."""

    card: ModelCard
    graph: Path
    weights: Path


class ModelRegistry:
    """Reads and writes the models under one directory; every read checks card and digest again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def folder(self, card: ModelCard) -> Path:
        """Where a model of this name and version lives, whether or not it is there."""
        return self._directory / card.name / card.version

    def register(self, card: ModelCard) -> Path:
        """Writes the card beside the model's files and answers the card's path; idempotent.

        Raises `ModelError`: `prohibited_capability` for a use no model may have, `invalid_card` for any other fault,
        `not_converted` and `digest_mismatch` when the files are not those the card describes.
        """
        accepted = _validated(card.model_dump_json(warnings=False))
        folder = self.folder(accepted)
        _check(accepted, folder)
        path = folder / CARD_FILE
        path.write_text(accepted.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return path

    def load(self, name: str, version: str) -> InstalledModel:
        """Opens one installed model after checking its card and its digest.

        Raises `ModelError`: `not_installed` (with the command that installs it), `prohibited_capability`,
        `invalid_card`, `digest_mismatch`.
        """
        folder = self._directory / name / version
        try:
            text = (folder / CARD_FILE).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            command = f"python -m lykta_analytics.models fetch --cache {self._directory}"
            raise ModelError("not_installed", f"model {name} {version} is missing; run: {command}") from error
        card = _validated(text)
        _check(card, folder)
        return InstalledModel(card, folder / GRAPH_FILE, folder / WEIGHTS_FILE)

    def cards(self) -> list[ModelCard]:
        """Cards of every installed model, by name and version; raises `ModelError` on the first that is refused."""
        paths = sorted(self._directory.glob(f"*/*/{CARD_FILE}"))
        return [_validated(path.read_text(encoding="utf-8")) for path in paths]


def _validated(text: str) -> ModelCard:
    try:
        return ModelCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, ModelError):
            raise cause from error
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError("invalid_card", f"{where or 'card'}: {first['msg']}") from error


def _check(card: ModelCard, folder: Path) -> None:
    expected = card.sha256
    try:
        found = digest(folder / GRAPH_FILE, folder / WEIGHTS_FILE)
    except OSError as error:
        raise ModelError("not_installed", f"files of model {card.name} are missing in its folder") from error
    if found != expected:
        raise ModelError("digest_mismatch", f"model {card.name}: files hash to {found}, the card says {expected}")
