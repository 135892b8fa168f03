"""The Debian root below our images where there is no registry: made by debootstrap, then freed of what nothing runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.images.archive import Entry, tree

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
SECURITY = "http://deb.debian.org/debian-security"
INCLUDED = ("ca-certificates", "libpython3.11-stdlib", "python3.11-minimal")
PYTHON = "/usr/bin/python3.11"
REMOVED = (
    *(
        "adduser",
        "apt",
        "debconf",
        "debian-archive-keyring",
        "dpkg",
        "e2fsprogs",
        "gpgv",
        "libapt-pkg6.0",
        "libext2fs2",
    ),
    *("libdebconfclient0", "libseccomp2", "libss2", "libxxhash0", "logsave", "mount", "ncurses-bin"),
    *("passwd", "perl-base", "sysvinit-utils", "tar", "usr-is-merged", "util-linux", "util-linux-extra"),
)
"""Packages that install, configure or administer: in the root that is built in, not in an image."""
UNWANTED = (
    *("boot", "dev", "home", "media", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "stage"),
    *("usr/games", "usr/include", "usr/local", "usr/src", "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/locale"),
    *("usr/share/bash-completion", "usr/share/doc", "usr/share/info", "usr/share/lintian", "usr/share/locale"),
    *("usr/share/man", "usr/share/perl5", "usr/share/bug", "usr/share/common-licenses", "usr/share/debconf"),
    *("var/backups", "var/cache", "var/lib/apt", "var/lib/dpkg", "var/lib/pam", "var/lib/systemd", "var/local"),
    *("var/log", "var/mail", "var/opt", "var/spool", "var/tmp"),
    *("etc/apt", "etc/alternatives", "etc/cron.daily", "etc/default", "etc/dpkg", "etc/fstab", "etc/hostname"),
    *("etc/hosts", "etc/init.d", "etc/issue", "etc/issue.net", "etc/kernel", "etc/ld.so.cache", "etc/logrotate.d"),
    *("etc/machine-id", "etc/motd", "etc/mtab", "etc/pam.conf", "etc/pam.d", "etc/resolv.conf", "etc/security"),
    *("etc/skel", "etc/systemd", "etc/update-motd.d", "etc/passwd", "etc/passwd-", "etc/group", "etc/group-"),
    *("etc/shadow", "etc/shadow-", "etc/gshadow", "etc/gshadow-", "etc/subuid", "etc/subuid-", "etc/subgid"),
    *("etc/subgid-", "etc/.pwd.lock"),
)
"""Paths that are the build's own, differ from run to run, or that no program in an image reads."""
PASSWD = "root:x:0:0:root:/:/usr/sbin/nologin\nlykta:x:65532:65532:lykta:/var/lib/lykta:/usr/sbin/nologin\n"
GROUP = "root:x:0:\nlykta:x:65532:\n"
USER = 65532
MERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
TIMEOUT_S = 1500


class MissingToolError(Exception):
    """What this machine lacks; the message names it."""


@dataclass(frozen=True)
class Package:
    """One Debian package in an image."""

    name: str
    version: str


def check_tools() -> None:
    """Raise MissingToolError, naming it, when a root cannot be made here."""
    if shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        raise MissingToolError("debootstrap is missing (Debian: apt-get install debootstrap)")
    if os.geteuid() != 0:
        raise MissingToolError("debootstrap makes a root only as root: run it with sudo")


def run(*command: str) -> str:
    """Run one command and answer its output; raises SystemExit with the end of what it said."""
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    environment |= {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment)
    if done.returncode:
        raise SystemExit(f"images: {' '.join(command[:4])} … failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def make_root(root: Path) -> None:
    """Make the root that layers are taken from, with today's security updates; a half-made one is made again."""
    check_tools()
    done = root / ".made"
    if done.exists():
        return
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    mirror = os.environ.get("LYKTA_DEBIAN_MIRROR", MIRROR)
    run("debootstrap", "--variant=minbase", f"--include={','.join(INCLUDED)}", SUITE, str(root), mirror)
    security = os.environ.get("LYKTA_DEBIAN_SECURITY", SECURITY)
    sources = f"deb {mirror} {SUITE} main\ndeb {mirror} {SUITE}-updates main\ndeb {security} {SUITE}-security main\n"
    (root / "etc/apt/sources.list").write_text(sources)
    run("chroot", str(root), "apt-get", "update", "-q")
    run("chroot", str(root), "apt-get", "upgrade", "-y", "-q", "--no-install-recommends")
    done.touch()


def packages(root: Path) -> list[Package]:
    """The packages of the root that reach an image, by name."""
    listed = run("chroot", str(root), "dpkg-query", "-Wf", "${Package} ${Version}\n")
    found = [Package(*line.split(" ", 1)) for line in listed.splitlines()]
    return sorted((p for p in found if p.name not in REMOVED), key=lambda p: p.name)


def merged(path: str) -> str:
    """A path as it is in a root whose /bin, /lib and /sbin are links into /usr."""
    return f"usr/{path}" if path.split("/", 1)[0] in MERGED else path


def removed_files(root: Path) -> set[str]:
    """The files of the removed packages, as paths in an image."""
    found: set[str] = set()
    for name in REMOVED:
        for path in (root / "var/lib/dpkg/info").glob(f"{name}[.:]*list"):
            if path.name.split(".list")[0].split(":")[0] == name:
                lines = (line.strip("/") for line in path.read_text().splitlines())
                found |= {merged(line) for line in lines if line and not (root / line).is_dir()}
    return found


def base_entries(root: Path) -> Iterator[Entry]:
    """The lowest layer: the root without removed packages and unwanted paths, with our user and its directories."""
    gone = removed_files(root) | {".made", *UNWANTED}
    yield from tree(root, keep=lambda name: name not in gone and not name.endswith((".pyc", "/__pycache__")))
    yield Entry("etc/passwd", content=PASSWD.encode())
    yield Entry("etc/group", content=GROUP.encode())
    yield Entry("tmp/", 0o1777)
    yield Entry("var/lib/lykta/", 0o755, owner=USER)
    for name in ("dev/", "proc/", "run/", "sys/", "opt/", "var/tmp/"):
        yield Entry(name, 0o1777 if name == "var/tmp/" else 0o755)


def status_entry(packages: list[Package]) -> Entry:
    """What scanners read: the packages that are really there, in the form of dpkg's status file."""
    stanzas = (
        f"Package: {p.name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {p.version}\n"
        "Maintainer: Debian\nDescription: Debian package\n"
        for p in packages
    )
    return Entry("var/lib/dpkg/status", content="\n".join(stanzas).encode())
