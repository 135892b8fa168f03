"""Kubernetes Secrets through the API, with the few calls the jobs need: get, create, add, replace, list, delete."""

import base64
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from lykta_common.errors import Code, PlatformError, invalid, unavailable

KEPT: Final = "lykta.io/kept"
"""Label of Secrets that an uninstall keeps when it is asked to: volumes are noise without them."""
OPAQUE: Final = "Opaque"
TLS: Final = "kubernetes.io/tls"
_SECONDS: Final = 15.0
_TOKEN: Final = Path("/etc/lykta/api")


@dataclass(frozen=True)
class Kind:
    """What kind of Secret is made: its type, and whether it outlives an uninstall."""

    type: str = OPAQUE
    kept: bool = False


class SecretStore:
    """The Secrets of one namespace; what is made here carries the given labels."""

    def __init__(self, client: httpx.AsyncClient, namespace: str, labels: Mapping[str, str]) -> None:
        self._client = client
        self._path = f"/api/v1/namespaces/{namespace}/secrets"
        self._labels = dict(labels)

    async def get(self, name: str) -> dict[str, bytes] | None:
        """Return a Secret's files; nothing when there is no such Secret."""
        answer = await self._call("GET", f"{self._path}/{name}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return {key: base64.b64decode(value) for key, value in (_checked(answer).get("data") or {}).items()}

    async def ensure(
        self, name: str, wanted: Mapping[str, Callable[[], bytes]], kind: Kind | None = None
    ) -> dict[str, bytes]:
        """Return a Secret that has every wanted file; missing ones are made, present ones are never changed."""
        found = await self.get(name)
        missing = {key: make() for key, make in wanted.items() if key not in (found or {})}
        if found is None:
            return await self._create(name, missing, kind or Kind())
        if missing:
            await self.replace(name, missing)
        return found | missing

    async def put(self, name: str, files: Mapping[str, bytes], kind: Kind) -> None:
        """Write a Secret's files, whether it is there or not."""
        if await self.get(name) is None:
            await self._create(name, files, kind)
        else:
            await self.replace(name, files)

    async def replace(self, name: str, files: Mapping[str, bytes]) -> None:
        """Replace files of a Secret that is there; others in it stay."""
        headers = {"Content-Type": "application/merge-patch+json"}
        _checked(await self._call("PATCH", f"{self._path}/{name}", {"data": _encoded(files)}, headers))

    async def names(self, selector: str) -> list[str]:
        """Return the names of Secrets with these labels."""
        answer = _checked(await self._call("GET", self._path, parameters={"labelSelector": selector}))
        return [str(item["metadata"]["name"]) for item in answer["items"]]

    async def delete(self, name: str) -> None:
        """Delete a Secret; deleting a missing one changes nothing."""
        answer = await self._call("DELETE", f"{self._path}/{name}")
        if answer.status_code != httpx.codes.NOT_FOUND:
            _checked(answer)

    async def _create(self, name: str, files: Mapping[str, bytes], kind: Kind) -> dict[str, bytes]:
        labels = self._labels | {KEPT: str(kind.kept).lower()}
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": kind.type,
            "metadata": {"name": name, "labels": labels},
            "data": _encoded(files),
        }
        answer = await self._call("POST", self._path, body)
        if answer.status_code == httpx.codes.CONFLICT:
            message = f"the Secret {name} was made by another at the same time; run the job again"
            raise PlatformError(Code.ABORTED, "CONFLICT", message)
        _checked(answer)
        return dict(files)

    async def _call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> httpx.Response:  # fmt: skip
        try:
            return await self._client.request(method, path, json=body, headers=headers, params=parameters)
        except httpx.HTTPError as error:
            raise unavailable("the Kubernetes API") from error


@asynccontextmanager
async def open_secrets(namespace: str, labels: Mapping[str, str]) -> AsyncIterator[SecretStore]:
    """Open the Secrets of a namespace with the pod's own token; raises PlatformError where there is none."""
    try:
        token = (_TOKEN / "token").read_text().strip()
        context = ssl.create_default_context(cafile=str(_TOKEN / "ca.crt"))
    except OSError as error:
        raise invalid(f"no token of the Kubernetes API in {_TOKEN}; this runs as a job of the chart") from error
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc")
    url = f"https://{f'[{host}]' if ':' in host else host}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}"
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, verify=context, timeout=_SECONDS, trust_env=False
    ) as client:
        yield SecretStore(client, namespace, labels)


def _encoded(files: Mapping[str, bytes]) -> dict[str, str]:
    return {key: base64.b64encode(value).decode() for key, value in files.items()}


def _checked(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_success:
        return dict(answer.json())
    try:
        message = str(answer.json().get("message", ""))
    except ValueError:
        message = answer.text[:200]
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise PlatformError(Code.PERMISSION_DENIED, "ROLE", f"the Kubernetes API refuses: {message}")
    raise PlatformError(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", f"the Kubernetes API: {message}")
