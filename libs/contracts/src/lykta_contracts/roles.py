"""Roles of people within a controller, and the actions that are asked about."""

from enum import StrEnum


class Role(StrEnum):
    """A person's role in one controller (domain page, 5.1)."""

    OPERATOR = "operator"
    INVESTIGATOR = "investigator"
    APPROVER = "approver"
    ADMIN = "admin"
    DPO = "dpo"
    TECHNICIAN = "technician"
    AUDITOR = "auditor"


class Action(StrEnum):
    """What a person may ask to do; each is decided by a Cedar policy."""

    FOOTAGE_PLAYBACK = "footage.playback"
    FOOTAGE_LIVE = "footage.live"
    FOOTAGE_LIST = "footage.list"
    COVERAGE_READ = "coverage.read"
    SESSION_LIST = "session.list"
    INCIDENT_LIST = "incident.list"
    AUDIT_SEARCH = "audit.search"
    RETENTION_RUN = "retention.run"
    KEY_EXPORT = "key.export"
    CONTROLLER_CREATE = "controller.create"
    CAMERA_LIST = "camera.list"
    CAMERA_CREATE = "camera.create"
    PLACE_LIST = "place.list"
    PLACE_CREATE = "place.create"
    MEMBER_SET = "member.set"
    MEMBER_LIST = "member.list"
    MANDATE_LIST = "mandate.list"
    MANDATE_DRAFT = "mandate.draft"
    MANDATE_PROPOSE = "mandate.propose"
    MANDATE_APPROVE = "mandate.approve"
    MANDATE_END = "mandate.end"
    CASE_LIST = "case.list"
    CASE_OPEN = "case.open"
    CASE_CLOSE = "case.close"
    GRANT_LIST = "grant.list"
    GRANT_REQUEST = "grant.request"
    GRANT_APPROVE = "grant.approve"
    GRANT_TOKEN = "grant.token"  # noqa: S105 - the name of an action
    GRANT_REVOKE = "grant.revoke"


GRANTED_ACTIONS = frozenset({Action.FOOTAGE_PLAYBACK, Action.FOOTAGE_LIVE})
"""Actions that need a grant besides a role."""
