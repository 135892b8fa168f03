"""Writes what the chart takes from the code (settings, ports, users, streams), and its schema and README."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import yaml
from lykta_contracts import permissions, streams
from lykta_standalone.cluster import table
from lykta_standalone.environment import PLATFORM_OPERATOR
from lykta_standalone.registry import SERVICES

from tools import chart_values

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy" / "helm" / "lykta"
NOTICE = "# Written by `make chart` from the code's tables. Do not edit.\n"


def contract() -> dict[str, Any]:
    """What the templates read: names and numbers that are decided in the code."""
    return {
        "ports": dict(table.PORTS),
        "services": {service.name: _service(service.package) for service in SERVICES},
        "databases": list(table.DATABASES),
        "signingKeys": list(table.KEYS),
        "s3Accounts": list(table.S3_ACTIONS),
        "demoOperator": PLATFORM_OPERATOR,
        "nats": {
            "users": [_user(user) for user in permissions.all_permissions()],
            "subscriber": _user(permissions.subscriber_permissions("USER", "CONTROLLER")),
        },
        "streams": [{"name": s.name, "subjects": list(s.subjects)} for s in streams.STREAMS],
        "durables": [{"name": d.name, "stream": d.stream, "service": d.service} for d in streams.DURABLES],
        "buckets": [bucket.name for bucket in streams.BUCKETS],
    }


def _service(package: str) -> dict[str, Any]:
    settings = importlib.import_module(f"{package}.config").Settings
    return {
        "package": package,
        "prefix": settings.model_config["env_prefix"],
        "settings": sorted(name.upper() for name in settings.model_fields),
    }


def _user(user: permissions.UserPermissions) -> dict[str, Any]:
    return {"user": user.user, "publish": list(user.publish), "subscribe": list(user.subscribe)}


def external_servers() -> str:
    """What servers that others run must have, as the chart's page says it."""
    buckets = {"footage": "objectStore.buckets.footage", "audit": "objectStore.buckets.audit"}
    policies = [
        f"| `{account}.json` | `{buckets[role]}` | {', '.join(f'`{action}`' for action in (*bucket, *objects))} |"
        for account, (role, bucket, objects) in table.S3_ACTIONS.items()
    ]
    users = ", ".join(f"`{user.user}`" for user in permissions.all_permissions())
    return "\n".join(
        (
            "## External servers",
            "",
            f"**NATS** with JetStream, and a certificate from the same CA; users {users}.",
            "`nats.external.existingSecret` holds a password under each of these names. Their permissions, to copy:",
            "`helm template lykta . --values ci/evaluation-values.yaml --show-only templates/nats.yaml`.",
            "",
            "**S3** with conditional PUT, and object lock on the audit bucket. `objectStore.external.existingSecret`",
            "holds a file for each account, and `bootstrap.json` for one that may make buckets:",
            "",
            "| file | bucket | may |",
            "|---|---|---|",
            *policies,
            "",
            f"**PostgreSQL** 15 or newer, a database each for {', '.join(f'`{name}`' for name in table.DATABASES)}.",
            "`database.external.existingSecret` holds a URL under each of these names.",
            "",
            "## Values",
            "",
        )
    )


def outputs() -> dict[Path, str]:
    """Every generated file of the chart with its text."""
    values = (CHART / "values.yaml").read_text()
    keys = chart_values.read(values)
    return {
        CHART / "files" / "contract.yaml": NOTICE + yaml.safe_dump(contract(), sort_keys=False, width=118),
        CHART / "values.schema.json": json.dumps(chart_values.schema(keys), indent=1) + "\n",
        CHART / "README.md": chart_values.readme(keys, external_servers()),
    }


def main() -> int:
    """Write the files, or with `--check` name those that differ; exit code 1 when one does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not as it would be")
    check = parser.parse_args().check
    stale = 0
    for path, text in outputs().items():
        if path.exists() and path.read_text() == text:
            continue
        if check:
            print(f"{path.relative_to(ROOT)} does not fit; run `make chart`")
            stale = 1
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")
    return stale


if __name__ == "__main__":
    sys.exit(main())
