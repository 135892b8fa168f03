"""What chart and code must agree on beside the contracts: ports, databases, keys, and rights in the object store."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from lykta_standalone.credentials import SIGNING_KEYS

PORTS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "grpc": 7443,
        "health": 7080,
        "metrics": 7090,
        "nats": 4222,
        "natsCluster": 6222,
        "natsMonitor": 8222,
        "s3": 9000,
        "postgresql": 5432,
        "identity": 8443,
        "cameras": 8554,
    }
)
"""The same in every pod; `health` speaks gRPC without TLS to the kubelet."""

DATABASES: Final = ("access-control", "analytics", "audit", "storage")
"""Services with rows; role and database carry the workload's name."""

KEYS: Final = SIGNING_KEYS
"""Names of the signing keys; a key's name is its key id."""

S3_ACTIONS: Final[Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]]] = MappingProxyType(
    {
        "ingest": ("footage", ("s3:GetBucketLocation",), ("s3:PutObject",)),
        "storage": (
            "footage",
            ("s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation", "s3:GetBucketVersioning"),
            ("s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject", "s3:DeleteObjectVersion"),
        ),
        "audit": (
            "audit",
            ("s3:ListBucket", "s3:GetBucketLocation", "s3:GetBucketObjectLockConfiguration"),
            ("s3:GetObject", "s3:PutObject"),
        ),
        "reader": ("audit", ("s3:ListBucket", "s3:GetBucketLocation"), ("s3:GetObject",)),
    }
)
"""Account → its bucket, what it may do with the bucket, what with the bucket's objects; nobody may lift a lock."""


def s3_policy(account: str, buckets: Mapping[str, str]) -> dict[str, Any]:
    """Return the IAM policy of an account; `buckets` gives the names of `footage` and `audit`."""
    role, on_bucket, on_objects = S3_ACTIONS[account]
    arn = f"arn:aws:s3:::{buckets[role]}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": list(on_bucket), "Resource": [arn]},
            {"Effect": "Allow", "Action": list(on_objects), "Resource": [f"{arn}/*"]},
        ],
    }
