"""Turns a TensorFlow.js graph model into a TensorFlow GraphDef without TensorFlow.

A tfjs graph model is the JSON form of a `GraphDef` whose constants lie in a separate binary. The GraphDef protobuf is
small and frozen since TensorFlow 1.0, so that the few messages needed are written field by field (numbers from
`tensorflow/core/framework/{graph,node_def,attr_value,tensor,tensor_shape}.proto`).
"""

import base64
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lykta_analytics.models.card import ModelError

_DTYPES: Final = {"DT_FLOAT": 1, "DT_INT32": 3, "DT_STRING": 7, "DT_INT64": 9, "DT_BOOL": 10, "DT_HALF": 19}
_NUMPY: Final[dict[str, type[np.generic]]] = {
    "DT_FLOAT": np.float32,
    "DT_INT32": np.int32,
    "DT_INT64": np.int64,
    "DT_BOOL": np.bool_,
}
_STORED: Final[dict[str, type[np.generic]]] = {
    "float16": np.float16,
    "float32": np.float32,
    "int32": np.int32,
    "bool": np.bool_,
}
_VARINT, _BYTES, _FIXED32 = 0, 2, 5

Json = Mapping[str, Any]


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _blob(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(value)) + value


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | _FIXED32) + struct.pack("<f", value)


def _shape(sizes: Iterable[int]) -> bytes:
    return b"".join(_blob(2, _number(1, size)) for size in sizes)


def _sizes(shape: Json) -> list[int]:
    return [int(dim.get("size", 0)) for dim in shape.get("dim", [])]


def _tensor(dtype: str, array: npt.NDArray[Any]) -> bytes:
    little = np.ascontiguousarray(array.astype(_NUMPY[dtype]))
    return _number(1, _DTYPES[dtype]) + _blob(2, _shape(array.shape)) + _blob(4, little.tobytes())


def _list(value: Json) -> bytes:
    packed = b"".join(_varint(int(item)) for item in value.get("i", []))
    texts = b"".join(_blob(2, base64.b64decode(item)) for item in value.get("s", []))
    return texts + (_blob(3, packed) if packed else b"")


def _attribute(value: Json) -> bytes:
    kind, content = next(iter(value.items()))
    match kind:
        case "list":
            return _blob(1, _list(content))
        case "s":
            return _blob(2, base64.b64decode(content))
        case "i":
            return _number(3, int(content))
        case "f":
            return _float(4, float(content))
        case "b":
            return _number(5, int(content))
        case "type":
            return _number(6, _DTYPES[content])
        case "shape":
            return _blob(7, _shape(_sizes(content)))
    raise ModelError("unsupported_graph", f"attribute kind {kind!r} is not known to the converter")


def _entry(name: str, value: bytes) -> bytes:
    return _blob(5, _blob(1, name.encode()) + _blob(2, value))


def _node(name: str, op: str, inputs: Sequence[str], attributes: Iterable[bytes]) -> bytes:
    body = _blob(1, name.encode()) + _blob(2, op.encode()) + b"".join(_blob(3, item.encode()) for item in inputs)
    return _blob(1, body + b"".join(attributes))


def _constant(name: str, dtype: str, array: npt.NDArray[Any]) -> bytes:
    value = _entry("value", _blob(8, _tensor(dtype, array)))
    return _node(name, "Const", (), (_entry("dtype", _number(6, _DTYPES[dtype])), value))


def read_weights(manifest: Sequence[Json], binary: bytes) -> dict[str, npt.NDArray[Any]]:
    """Cuts the weight binary into named arrays, in the manifest's order.

    Raises `ModelError` when a type is unknown or the binary is not used up to its last byte.
    """
    weights: dict[str, npt.NDArray[Any]] = {}
    offset = 0
    for spec in (item for group in manifest for item in group["weights"]):
        stored = _STORED.get((spec.get("quantization") or spec)["dtype"])
        if stored is None:
            raise ModelError("unsupported_graph", f"weight {spec['name']!r} has a type the converter does not know")
        count = int(np.prod(spec["shape"], dtype=np.int64))
        size_bytes = count * np.dtype(stored).itemsize
        if offset + size_bytes > len(binary):
            raise ModelError("broken_weights", f"weight {spec['name']!r} lies past the end of the binary")
        weights[spec["name"]] = np.frombuffer(binary, stored, count, offset).reshape(spec["shape"])
        offset += size_bytes
    if offset != len(binary):
        raise ModelError("broken_weights", f"{len(binary) - offset} bytes of the binary belong to no weight")
    return weights


def _fold_sparse_to_dense(node: Json, weights: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Writes a `SparseToDense` that scatters nothing as the constant it is: its default, broadcast to its shape."""
    indices, shape, _, default = (weights[name] for name in node["input"])
    if indices.size:
        raise ModelError("unsupported_graph", f"node {node['name']!r} scatters values; only empty scatters are folded")
    return _constant(node["name"], node["attr"]["T"]["type"], np.full(tuple(shape.tolist()), default.item()))


def to_graph_def(model: Json, binary: bytes) -> bytes:
    """Serialises a tfjs graph model as a frozen `GraphDef`; the same input always gives the same bytes.

    Raises `ModelError` (`unsupported_graph`, `broken_weights`) on anything the converter does not fully understand.
    """
    weights = read_weights(model["weightsManifest"], binary)
    out: list[bytes] = []
    for node in model["modelTopology"]["node"]:
        attributes = node.get("attr", {})
        if node["op"] == "Const":
            out.append(_constant(node["name"], attributes["dtype"]["type"], weights[node["name"]]))
        elif node["op"] == "SparseToDense":
            out.append(_fold_sparse_to_dense(node, weights))
        else:
            entries = [_entry(key, _attribute(value)) for key, value in sorted(attributes.items())]
            out.append(_node(node["name"], node["op"], node.get("input", ()), entries))
    out.append(_blob(4, _number(1, 1087)))
    return b"".join(out)
