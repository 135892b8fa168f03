"""What a verification says: what was proved, what does not hold and where, what was not checked."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold: the check, the place (file, entry, bytes) and the reason in a sentence."""

    check: str
    where: str
    message: str


@dataclass(slots=True)
class Report:
    """Result of one verification; it holds when there is no finding.

    `proved` says, in order, which steps held; `notes` names what was seen and not proved.
    """

    subject: str
    proved: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Tell whether everything that was checked holds."""
        return not self.findings

    def fail(self, check: str, where: str, message: str) -> None:
        """Record a thing that does not hold."""
        self.findings.append(Finding(check, where, message))

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"holds": self.holds, **asdict(self)}

    def text(self) -> str:
        """Lines for people, ending with a newline."""
        lines = [f"held      {step}" for step in self.proved]
        lines += [f"note      {note}" for note in self.notes]
        lines += [f"FAILED    {item.check}: {item.where}: {item.message}" for item in self.findings]
        lines.append(f"{self.subject}: " + ("everything holds" if self.holds else "DOES NOT HOLD"))
        return "\n".join(lines) + "\n"
