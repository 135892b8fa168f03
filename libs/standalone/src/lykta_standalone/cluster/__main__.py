"""The chart's jobs: `python -m lykta_standalone.cluster prepare|setup|cleanup`."""

import argparse
import asyncio
import sys
from pathlib import Path

from lykta_common.clock import SystemClock
from lykta_common.errors import PlatformError
from lykta_common.logging import configure
from lykta_common.tls import TlsFiles

from lykta_standalone.cluster.cleanup import cleanup
from lykta_standalone.cluster.plan import PreparePlan, SetupPlan, read_plan
from lykta_standalone.cluster.prepare import prepare
from lykta_standalone.cluster.secret_store import open_secrets
from lykta_standalone.cluster.setup import setup

_TLS = Path("/etc/lykta/tls")
_SECRETS = Path("/etc/lykta/secrets")


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
    return parser


async def run(options: argparse.Namespace) -> None:
    """Run one job; raises PlatformError with what to do."""
    match options.command:
        case "prepare":
            plan = read_plan(PreparePlan, options.plan)
            async with open_secrets(plan.namespace, plan.labels) as store:
                await prepare(plan, store, SystemClock())
        case "setup":
            tls = TlsFiles(_TLS / "ca.crt", _TLS / "tls.crt", _TLS / "tls.key")
            await setup(read_plan(SetupPlan, options.plan), _SECRETS, tls)
        case "cleanup":
            async with open_secrets(options.namespace, {}) as store:
                await cleanup(store, options.instance, keep_keys=options.keep_keys)


def main() -> int:
    """Run a job and return its exit code: 0 when done, 1 with one clear line when not."""
    options = build_parser().parse_args()
    configure(f"cluster-{options.command}", "json", "info")
    try:
        asyncio.run(run(options))
    except PlatformError as error:
        sys.stderr.write(f"lykta {options.command}: {error.message}\n")
        return 1
    except BaseExceptionGroup as group:
        known, other = group.split(PlatformError)
        if other is not None:
            raise
        sys.stderr.write(f"lykta {options.command}: {'; '.join(str(error) for error in (known or group).exceptions)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
