"""Takes everything from the calling process that decoding does not need, and checks that it is gone.

Layers, each tried on its own: own user and network namespace (`unshare(2)`), resource limits, `no_new_privs`, and a
seccomp filter with a short list of permitted system calls. Linux only; nothing here needs privileges.
"""

import ctypes
import os
import platform
import resource
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

_CLONE_NEWIPC, _CLONE_NEWUSER, _CLONE_NEWNET = 0x08000000, 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER: Final = 2
_SIGKILL: Final = 9
_RETURN_ALLOW, _RETURN_EPERM, _RETURN_KILL = 0x7FFF0000, 0x00050001, 0x80000000
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06

_ARCHITECTURES: Final[dict[str, tuple[int, tuple[int, ...]]]] = {
    # read write close fstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn readv writev
    # sched_yield mremap madvise nanosleep getpid exit gettid futex restart_syscall clock_gettime clock_nanosleep
    # exit_group sigaltstack getrandom membarrier rseq
    "x86_64": (
        0xC000003E,
        (0, 1, 3, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 19, 20, 24, 25, 28, 35, 39, 60, 186, 202, 219, 228, 230, 231, 131,
         318, 324, 334),
    ),
    "aarch64": (
        0xC00000B7,
        (63, 64, 57, 80, 73, 62, 222, 226, 215, 214, 134, 135, 139, 65, 66, 124, 216, 233, 101, 172, 93, 178, 98, 128,
         113, 115, 94, 132, 278, 283, 293),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of a locked process; memory is on top of what is mapped when the limits are set."""

    memory_bytes: int = 512 << 20
    cpu_seconds: int = 24 * 3600
    open_files: int = 8


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def leave_namespaces() -> bool:
    """Moves the process into its own user, network and IPC namespace; answers False where the kernel forbids it.

    Must run while the process has one thread.
    """
    return bool(_libc().unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC) == 0)


def close_inherited(keep: Iterable[int]) -> None:
    """Closes every file descriptor except those to keep; for use right after start, before anything is opened."""
    low = 0
    for fd in sorted({*keep}):
        if low < fd:  # an empty range that starts at 0 would reach close_range(2) as 0 to 2^32-1
            os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, 1 << 16)


def limit_resources(limits: Limits) -> None:
    """Sets hard limits on memory, CPU time, descriptors, processes, file size and core dumps."""
    with open("/proc/self/statm", encoding="ascii") as stream:
        mapped = int(stream.read().split()[0]) * os.sysconf("SC_PAGESIZE")
    for kind, bound in (
        (resource.RLIMIT_AS, mapped + limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (bound, bound))


def die_with_parent() -> None:
    """Has the kernel kill this process when its parent ends, and hides its memory from others of the same user."""
    libc = _libc()
    libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def filter_system_calls() -> bool:
    """Permits only computing, memory and the pipes already open; every other system call fails with EPERM.

    Answers False where the machine has no such filter; it cannot be undone. See seccomp(2), SECCOMP_SET_MODE_FILTER.
    """
    known = _ARCHITECTURES.get(platform.machine())
    libc = _libc()
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or known is None:
        return False
    architecture, calls = known
    steps = [(_LOAD, 0, 0, 4), (_JUMP_IF_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _RETURN_KILL), (_LOAD, 0, 0, 0)]
    steps += [(_JUMP_IF_EQUAL, len(calls) - index, 0, call) for index, call in enumerate(calls)]
    steps += [(_RETURN, 0, 0, _RETURN_EPERM), (_RETURN, 0, 0, _RETURN_ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = _Program(len(steps), ctypes.cast(code, ctypes.c_void_p))
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _reach_network() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # TEST-NET-1 (RFC 5737); a datagram socket sends nothing when it connects


def _open_file() -> None:
    os.close(os.open("/tmp", os.O_RDONLY))  # noqa: S108 - must be refused; any path serves


def _spawn() -> None:
    if os.fork() == 0:
        os._exit(0)


def still_possible() -> list[str]:
    """Tries what must not work any more and names what still did; empty is what a locked process answers."""
    checks: dict[str, Callable[[], None]] = {"network": _reach_network, "files": _open_file, "processes": _spawn}
    found = []
    for name, attempt in checks.items():
        try:
            attempt()
        except OSError:
            continue
        found.append(name)
    return found
