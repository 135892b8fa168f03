"""Role policies: the whole matrix role by action, and a schema that catches mistakes."""

import subprocess
import sys

import pytest
from lykta_access_control.domain.decision import NO_ROLES, Facts
from lykta_access_control.policy import Policies, PolicyError, mistakes, policy_text, schema_text
from lykta_contracts.roles import Action, Role

ALL = frozenset(Role)
OPR, INV, APP, ADM, DPO, TEC, AUD = (
    Role.OPERATOR, Role.INVESTIGATOR, Role.APPROVER, Role.ADMIN, Role.DPO, Role.TECHNICIAN, Role.AUDITOR,
)  # fmt: skip
MATRIX: dict[Action, frozenset[Role]] = {
    Action.FOOTAGE_PLAYBACK: frozenset({INV}),
    Action.FOOTAGE_LIVE: frozenset({OPR, INV}),
    Action.FOOTAGE_LIST: frozenset({INV, DPO, AUD}),
    Action.COVERAGE_READ: ALL,
    Action.SESSION_LIST: frozenset({OPR, TEC, ADM}),
    Action.INCIDENT_LIST: frozenset({OPR, INV, APP, DPO}),
    Action.AUDIT_SEARCH: frozenset({DPO, AUD}),
    Action.RETENTION_RUN: frozenset({ADM, DPO}),
    Action.KEY_EXPORT: frozenset({DPO}),
    Action.CONTROLLER_CREATE: frozenset(),
    Action.CAMERA_LIST: ALL,
    Action.CAMERA_CREATE: frozenset({ADM}),
    Action.PLACE_LIST: ALL,
    Action.PLACE_CREATE: frozenset({ADM}),
    Action.MEMBER_SET: frozenset({ADM}),
    Action.MEMBER_LIST: frozenset({ADM, APP, DPO, AUD}),
    Action.MANDATE_LIST: ALL,
    Action.MANDATE_DRAFT: frozenset({ADM}),
    Action.MANDATE_PROPOSE: frozenset({ADM}),
    Action.MANDATE_APPROVE: frozenset({APP}),
    Action.MANDATE_END: frozenset({ADM, APP}),
    Action.CASE_LIST: frozenset({OPR, INV, APP, DPO, AUD}),
    Action.CASE_OPEN: frozenset({INV}),
    Action.CASE_CLOSE: frozenset({INV, APP}),
    Action.GRANT_LIST: frozenset({OPR, INV, APP, DPO, AUD}),
    Action.GRANT_REQUEST: frozenset({OPR, INV}),
    Action.GRANT_APPROVE: frozenset({APP}),
    Action.GRANT_TOKEN: frozenset(),
    Action.GRANT_REVOKE: frozenset({APP, DPO}),
}


@pytest.fixture(scope="module")
def policies() -> Policies:
    """The policies as shipped."""
    return Policies.load()


def test_the_matrix_speaks_of_every_action() -> None:
    """Each action of the contracts has a row."""
    assert set(MATRIX) == set(Action)


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("role", list(Role))
def test_each_role_may_do_exactly_its_part(policies: Policies, action: Action, role: Role) -> None:
    """A single role opens what the matrix says, and nothing else."""
    assert policies.evaluate(action, Facts(frozenset({role}))) is (role in MATRIX[action])


@pytest.mark.parametrize("action", list(Action))
def test_without_a_role_nothing_is_open(policies: Policies, action: Action) -> None:
    """No role opens nothing; running the platform opens making a controller and naming its first administrator."""
    assert not policies.evaluate(action, Facts(NO_ROLES, own=True, first_admin=True))
    operators = {Action.CONTROLLER_CREATE, Action.MEMBER_SET}
    assert policies.evaluate(action, Facts(NO_ROLES, operator=True, own=True, first_admin=True)) is (
        action in operators
    )
    assert policies.evaluate(action, Facts(NO_ROLES, operator=True)) is (action is Action.CONTROLLER_CREATE)


@pytest.mark.parametrize("role", list(Role))
def test_everyone_holds_and_gives_up_their_own_grant(policies: Policies, role: Role) -> None:
    """Fetching the token and revoking are open to the person a grant is for, whatever the role."""
    facts = Facts(frozenset({role}), own=True)
    assert policies.evaluate(Action.GRANT_TOKEN, facts)
    assert policies.evaluate(Action.GRANT_REVOKE, facts)


def test_several_roles_add_up(policies: Policies) -> None:
    """A person with all roles may do whatever any of them may."""
    for action, roles in MATRIX.items():
        assert policies.permits(action, Facts(ALL)) is bool(roles)


def test_the_shipped_policies_are_valid() -> None:
    """The files fit their schema, and the command says so with exit code 0."""
    assert mistakes(policy_text(), schema_text()) == []
    command = [sys.executable, "-m", "lykta_access_control.policy"]
    done = subprocess.run([*command, "validate"], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "policies fit their schema\n")
    assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 2


@pytest.mark.parametrize(
    "policy",
    [
        'permit (principal, action == Lykta::Action::"footage.palyback", resource);',
        'permit (principal, action, resource) when { context.roles.contains(Lykta::Role::"boss") };',
        "permit (principal, action, resource) when { context.rolls.isEmpty() };",
        "permit (principal, action, resource) when { principal.roles };",
        "permit (",
    ],
)
def test_a_mistaken_policy_does_not_load(policy: str) -> None:
    """An unknown action, role or attribute, or broken syntax, stops the service at its start."""
    assert mistakes(policy, schema_text())
    with pytest.raises(PolicyError):
        Policies(policy, schema_text())
