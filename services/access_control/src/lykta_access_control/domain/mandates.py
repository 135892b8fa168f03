"""The mandate's way: drafted, proposed, approved by a second person, ended; each step a pure function."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from lykta_contracts.mandates import MandateDocument

from lykta_access_control.domain.refusal import RefusedError, invalid, same_person, wrong_state


class MandateState(StrEnum):
    """Where a version of a mandate stands."""

    DRAFT = "draft"
    PROPOSED = "proposed"
    APPROVED = "approved"
    ENDED = "ended"


@dataclass(frozen=True)
class Mandate:
    """One version of a decision with its history; `authors` are all who ever wrote it, `drafted_by` the last."""

    mandate_id: str
    version: int
    controller: str
    state: MandateState
    document: MandateDocument
    drafted_by: str
    authors: frozenset[str]
    drafts: int = 1
    proposed_by: str = ""
    approved_by: str = ""
    approved_at: datetime | None = None
    ended_by: str = ""
    ended_at: datetime | None = None
    end_reason: str = ""


def draft(mandate_id: str, version: int, document: MandateDocument, person: str) -> Mandate:
    """Write the first draft of a version; id and version are set in the document."""
    filed = document.model_copy(update={"mandate_id": mandate_id, "version": version})
    authors = frozenset((person,))
    return Mandate(mandate_id, version, document.controller, MandateState.DRAFT, filed, person, authors)


def redraft(mandate: Mandate, document: MandateDocument, person: str) -> Mandate:
    """Write a draft again; the same text changes nothing. Raises RefusedError once it is proposed."""
    if mandate.state is not MandateState.DRAFT:
        raise _no("written", mandate, "draft a new version once it is approved or ended")
    if document.controller != mandate.controller:
        raise invalid("a mandate stays with its controller; draft a new one for another")
    filed = document.model_copy(update={"mandate_id": mandate.mandate_id, "version": mandate.version})
    if filed == mandate.document:
        return mandate
    authors = mandate.authors | {person}
    return replace(mandate, document=filed, drafted_by=person, authors=authors, drafts=mandate.drafts + 1)


def propose(mandate: Mandate, person: str) -> Mandate:
    """Freeze a draft; proposing again by the same person changes nothing."""
    if mandate.state is MandateState.PROPOSED and mandate.proposed_by == person:
        return mandate
    if mandate.state is not MandateState.DRAFT:
        raise _no("proposed", mandate, "only a draft can be")
    return replace(mandate, state=MandateState.PROPOSED, proposed_by=person)


def approve(mandate: Mandate, person: str, now: datetime) -> Mandate:
    """Approve a proposed mandate as a second person; approving again by the same person changes nothing.

    Raises RefusedError SECOND_PERSON for anyone who wrote or proposed it, WRONG_STATE unless it is proposed.
    """
    if mandate.state is MandateState.APPROVED and mandate.approved_by == person:
        return mandate
    if person == mandate.proposed_by or person in mandate.authors:
        raise same_person("who drafted or proposed a mandate cannot approve it; ask another approver")
    if mandate.state is not MandateState.PROPOSED:
        raise _no("approved", mandate, "only a proposed one can be")
    if mandate.document.valid_to <= now:
        raise wrong_state("its validity is over already; end it and draft a new version with a later valid_to")
    return replace(mandate, state=MandateState.APPROVED, approved_by=person, approved_at=now)


def end(mandate: Mandate, person: str, reason: str, now: datetime) -> Mandate:
    """End an approved mandate, or withdraw a draft or proposal; ending an ended one changes nothing."""
    if mandate.state is MandateState.ENDED:
        return mandate
    return replace(mandate, state=MandateState.ENDED, ended_by=person, ended_at=now, end_reason=reason)


def dropped_cameras(old: Mandate | None, new: Mandate) -> tuple[str, ...]:
    """Return the cameras of the replaced version that the new one no longer covers, in order."""
    return tuple(c for c in old.document.cameras if c not in new.document.cameras) if old else ()


def _no(what: str, mandate: Mandate, instead: str) -> RefusedError:
    return wrong_state(f"version {mandate.version} is {mandate.state} and cannot be {what}: {instead}")
