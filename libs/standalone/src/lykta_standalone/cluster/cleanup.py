"""Takes away what the prepare job made, after an uninstall."""

from lykta_common.logging import get_logger

from lykta_standalone.cluster.secret_store import KEPT, SecretStore

log = get_logger(__name__)


async def cleanup(store: SecretStore, instance: str, *, keep_keys: bool) -> list[str]:
    """Delete the Secrets of an installation and return their names; keys that open kept volumes stay when asked to."""
    selector = f"app.kubernetes.io/managed-by=lykta-prepare,app.kubernetes.io/instance={instance}"
    names = await store.names(f"{selector},{KEPT}=false" if keep_keys else selector)
    for name in names:
        await store.delete(name)
    log.info("cluster_cleaned", secrets=len(names), kept=keep_keys)
    return names
