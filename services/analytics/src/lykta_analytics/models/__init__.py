"""The model registry: which models exist, what they may do, and how each comes to this machine."""

from lykta_analytics.models.card import PROHIBITED, Capability, ModelCard, ModelError, OutputKind, prohibited_use
from lykta_analytics.models.catalogue import KNOWN, NANODET
from lykta_analytics.models.fetch import fetch
from lykta_analytics.models.registry import InstalledModel, ModelRegistry

__all__ = [
    "KNOWN",
    "NANODET",
    "PROHIBITED",
    "Capability",
    "InstalledModel",
    "ModelCard",
    "ModelError",
    "ModelRegistry",
    "OutputKind",
    "fetch",
    "prohibited_use",
]
