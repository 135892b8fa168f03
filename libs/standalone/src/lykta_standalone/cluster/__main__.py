"""The chart's jobs and its demo: `python -m lykta_standalone.cluster prepare|setup|cleanup|…`."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from lykta_common.clock import SystemClock
from lykta_common.errors import Code, PlatformError
from lykta_common.logging import configure
from lykta_common.tls import TlsFiles

from lykta_standalone.cluster.attach import read_attach_points, write_state
from lykta_standalone.cluster.cleanup import cleanup
from lykta_standalone.cluster.plan import PreparePlan, SetupPlan, read_plan
from lykta_standalone.cluster.prepare import prepare
from lykta_standalone.cluster.secret_store import open_secrets
from lykta_standalone.cluster.setup import setup

HOPELESS: Final = 78
"""Exit code (EX_CONFIG) when somebody must change something first; the chart's jobs do not repeat it."""
_HOPELESS: Final = {Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION}
_TLS = Path("/etc/lykta/tls")
_SECRETS = Path("/etc/lykta/secrets")
_ATTACH = Path("/etc/lykta/platform/platform.json")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m lykta_standalone.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    preparing = commands.add_parser("prepare", help="make certificates, keys and passwords that are missing")
    preparing.add_argument("plan", type=Path, help="JSON file that the chart wrote")
    setting_up = commands.add_parser("setup", help="make streams, durables, buckets and accounts that are missing")
    setting_up.add_argument("plan", type=Path, help="JSON file that the chart wrote")
    cleaning = commands.add_parser("cleanup", help="delete the Secrets that prepare made")
    cleaning.add_argument("--namespace", required=True)
    cleaning.add_argument("--instance", required=True, help="name of the release")
    cleaning.add_argument("--keep-keys", action="store_true", help="leave CA, signing keys and controllers' keys")
    _add_demo(commands)
    return parser


def _add_demo(commands: Any) -> None:
    identity = commands.add_parser("identity", help="serve the DEVELOPMENT identity provider")
    identity.add_argument("--issuer", required=True)
    identity.add_argument("--port", type=int, required=True)
    cameras = commands.add_parser("cameras", help="serve the demo cameras")
    cameras.add_argument("--footage", type=Path, required=True)
    cameras.add_argument("--port", type=int, required=True)
    founding = commands.add_parser("found", help="found the demo municipality")
    founding.add_argument("--cameras", required=True, help="host:port of the demo cameras")
    commands.add_parser("flow", help="walk the way of one frame in the cluster, step by step")
    attaching = commands.add_parser("attach", help="write what `lykta --state-dir DIR` needs in this pod")
    attaching.add_argument("directory", type=Path)
    toolbox = commands.add_parser("toolbox", help="attach, and stay: a pod to run `python -m lykta_standalone` in")
    toolbox.add_argument("directory", type=Path)


async def run(options: argparse.Namespace) -> int:
    """Run one job and return its exit code; raises PlatformError with what to do."""
    match options.command:
        case "prepare" | "setup" | "cleanup":
            await _run_job(options)
        case "attach":
            write_state(read_attach_points(_ATTACH), options.directory)
        case _:
            return await _run_demo(options)
    return 0


async def _run_demo(options: argparse.Namespace) -> int:
    from lykta_standalone.cluster import demo  # brings the cameras and the story, which no other job needs

    match options.command:
        case "identity":
            await demo.serve_identity(options.issuer, options.port, _SECRETS / "identity-client", _tls())
        case "cameras":
            await demo.serve_cameras(options.footage, _SECRETS / "cameras.json", options.port)
        case "found":
            await demo.found(read_attach_points(_ATTACH), options.cameras)
        case "toolbox":
            write_state(read_attach_points(_ATTACH), options.directory)
            await demo.until_stopped()
        case "flow":
            return await demo.walk(read_attach_points(_ATTACH))
    return 0


def _tls() -> TlsFiles:
    return TlsFiles(_TLS / "ca.crt", _TLS / "tls.crt", _TLS / "tls.key")


async def _run_job(options: argparse.Namespace) -> None:
    match options.command:
        case "prepare":
            plan = read_plan(PreparePlan, options.plan)
            async with open_secrets(plan.namespace, plan.labels) as store:
                await prepare(plan, store, SystemClock())
        case "setup":
            await setup(read_plan(SetupPlan, options.plan), _SECRETS, _tls())
        case "cleanup":
            async with open_secrets(options.namespace, {}) as store:
                await cleanup(store, options.instance, keep_keys=options.keep_keys)


def main() -> int:
    """Run a job; returns 0 when done, else says why in one line: 1 when repeating may help, 78 when it cannot."""
    options = build_parser().parse_args()
    configure(f"cluster-{options.command}", "json", "info")
    try:
        return asyncio.run(run(options))
    except PlatformError as error:
        return _leave(options.command, [error])
    except BaseExceptionGroup as group:
        known, other = group.split(PlatformError)
        if other is not None or known is None:
            raise
        return _leave(options.command, [error for error in known.exceptions if isinstance(error, PlatformError)])


def _leave(command: str, errors: Sequence[PlatformError]) -> int:
    sys.stderr.write(f"lykta {command}: {'; '.join(error.message for error in errors)}\n")
    return HOPELESS if any(error.code in _HOPELESS for error in errors) else 1


if __name__ == "__main__":
    sys.exit(main())
