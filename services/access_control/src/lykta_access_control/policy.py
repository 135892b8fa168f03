"""Role policies: Cedar files beside this module, validated against their schema and decided in process.

`python -m lykta_access_control.policy validate` prints every mistake and ends with 1 when there is one.
"""

import sys
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import cedarpy
from lykta_contracts.roles import Action

from lykta_access_control.domain.decision import Facts

SCHEMA_FILE: Final = "schema.cedarschema"
_SEEN: Final = 16_384
"""Distinct combinations of action and facts that are remembered; there are fewer in practice."""


class PolicyError(ValueError):
    """The policy files do not fit their schema; the message lists every mistake."""


def policy_text() -> str:
    """Return all policy files as one text, in the order of their names."""
    folder = files(__package__) / "policies"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".cedar"))
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def schema_text() -> str:
    """Return the schema the policies are written against."""
    return (files(__package__) / "policies" / SCHEMA_FILE).read_text(encoding="utf-8")


def mistakes(policies: str, schema: str) -> list[str]:
    """Return what is wrong with policies under a schema, one line each; none when all is well."""
    return [str(error) for error in cedarpy.validate_policies(policies, schema).errors]


class Policies:
    """Decides role × action; policies are parsed once, and each distinct question is evaluated once."""

    def __init__(self, policies: str, schema: str) -> None:
        if found := mistakes(policies, schema):
            raise PolicyError("; ".join(found))
        self._policies = cedarpy.PolicySet.from_str(policies)
        self._schema = cedarpy.Schema.from_str(schema)
        self._entities = cedarpy.Entities.from_json_str("[]")
        self.permits = lru_cache(maxsize=_SEEN)(self.evaluate)
        """Like `evaluate`, remembered: the policies never change within a process and the facts are few."""

    @classmethod
    def load(cls) -> "Policies":
        """Read the files of this package; raises PolicyError that lists every mistake."""
        return cls(policy_text(), schema_text())

    def evaluate(self, action: Action, facts: Facts) -> bool:
        """Ask Cedar; raises PolicyError when it could not evaluate, so that a defect never allows anything."""
        result = cedarpy.is_authorized(_request(action, facts), self._policies, self._entities, self._schema)
        if result.diagnostics.errors:
            raise PolicyError("; ".join(map(str, result.diagnostics.errors)))
        return bool(result.allowed)


def _request(action: Action, facts: Facts) -> dict[str, Any]:
    # The policies look at standing only, never at who: the same two entities serve for everyone.
    return {
        "principal": {"type": "Lykta::Person", "id": "person"},
        "action": {"type": "Lykta::Action", "id": str(action)},
        "resource": {"type": "Lykta::Controller", "id": "controller"},
        "context": {
            "roles": [{"__entity": {"type": "Lykta::Role", "id": str(role)}} for role in sorted(facts.roles)],
            "platform_operator": facts.operator,
            "own": facts.own,
            "first_admin": facts.first_admin,
        },
    }


def main(arguments: list[str]) -> int:
    """Validate the policy files; 0 when all is well, 1 when not, 2 on wrong usage."""
    if arguments != ["validate"]:
        sys.stderr.write("usage: python -m lykta_access_control.policy validate\n")
        return 2
    found = mistakes(policy_text(), schema_text())
    for line in found:
        sys.stderr.write(f"{line}\n")
    if not found:
        sys.stdout.write("policies fit their schema\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
