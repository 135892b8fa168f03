"""The model registry: which models exist, what they may do, and how each comes to this machine."""

from .card import PROHIBITED, Capability, ModelCard, ModelError, OutputKind, prohibited_use
from .catalogue import KNOWN, NANODET
from .fetch import fetch
from .registry import InstalledModel, ModelRegistry

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
