"""Messaging over NATS: facts on JetStream, parts on core NATS, desired state in KV buckets."""

from lykta_common.messaging.connection import CoreMessage, Messaging, open_messaging
from lykta_common.messaging.kv import KvBucket, KvEntry

__all__ = ["CoreMessage", "KvBucket", "KvEntry", "Messaging", "open_messaging"]
