"""For each alert series under which it fires and series under which it does not, in promtool's notation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DAY: Final = 86_400
Series = dict[str, str]


@dataclass(frozen=True)
class Case:
    """Series by selector, a sample a minute from instant 0; at `at` minutes so many alerts fire."""

    alert: str
    says: str
    series: Series
    firing: int
    at: int = 60
    severity: str = ""


def _due(recording: str) -> Series:
    labels = '{namespace="n",controller="ks",camera="torg-1"'
    return {
        f'lykta_ingest_camera_due{labels},pod="ingest-0"}}': "1x70",
        f'lykta_ingest_camera_due{labels},pod="ingest-1"}}': "1x70",
        f'lykta_ingest_camera_recording{labels},pod="ingest-0"}}': "0x70",
        f'lykta_ingest_camera_recording{labels},pod="ingest-1"}}': recording,
    }


def _coverage(recorded: str, unexplained: str = "0x70", scheduled: str = "3600x70") -> Series:
    values = {"scheduled": scheduled, "recorded": recorded, "unexplained": unexplained, "pending": "60x70"}
    name = 'lykta_storage_coverage_seconds{namespace="n",controller="ks",balance="%s"}'
    return {name % balance: value for balance, value in values.items()}


def _spool(used: str) -> Series:
    pod = '{namespace="n",pod="ingest-0"}'
    return {f"lykta_ingest_spool_bytes{pod}": used, f"lykta_ingest_spool_limit_bytes{pod}": "1000x70"}


def _analysis(parts: str, dropped: str) -> Series:
    camera = '{namespace="n",controller="ks",camera="torg-1",pod="analytics-0"}'
    return {f"lykta_analytics_parts_total{camera}": parts, f"lykta_analytics_parts_dropped_total{camera}": dropped}


def _mandate(days: float, other_days: float = 400) -> Series:
    name = 'lykta_access_control_mandate_expiry_timestamp_seconds{namespace="n",controller="%s"}'
    later = 60 * 60  # the instant that is looked at
    return {name % "ks": f"{later + days * DAY:.0f}x70", name % "bolag": f"{later + other_days * DAY:.0f}x70"}


def _retention(last_success: str, unfinished: str = "0x190") -> Series:
    pod = '{namespace="n",pod="storage-0"}'
    return {
        f"lykta_storage_retention_success_timestamp_seconds{pod}": last_success,
        f"lykta_storage_deletions_unfinished{pod}": unfinished,
    }


def _log(entries: str, published: str) -> Series:
    pod = '{namespace="n",pod="audit-0"}'
    return {f"lykta_audit_log_entries{pod}": entries, f"lykta_audit_published_entries{pod}": published}


def _two_audits(name: str, first: str, second: str) -> Series:
    return {f'{name}{{namespace="n",pod="audit-0"}}': first, f'{name}{{namespace="n",pod="audit-1"}}': second}


def _certificates(days: float) -> Series:
    name = 'lykta_%s_certificate_expiry_timestamp_seconds{namespace="n",pod="%s-0"}'
    ends = 60 * 60 + days * DAY
    return {name % ("audit", "audit"): f"{ends:.0f}x70", name % ("ingest", "ingest"): f"{400 * DAY}x70"}


def _ready(**changes: str) -> Series:
    services = ("access_control", "analytics", "audit", "ingest", "storage")
    values = dict.fromkeys(services, "1x70") | changes
    found = {f'lykta_{name}_ready{{namespace="n",pod="{name}-0"}}': value for name, value in values.items() if value}
    return found | {'lykta_audit_ready{namespace="n",pod="audit-1"}': "0x70"}


_LETTERS: Final = 'lykta_storage_dead_letters_total{namespace="n",pod="storage-0",durable="d",reason="%s"}'
_INTEGRITY: Final = _LETTERS % "INTEGRITY"
_INGEST: Final = 'lykta_ingest_nats_connected{namespace="n",pod="ingest-0"}'
_AUDIT: Final = 'lykta_audit_nats_connected{namespace="n",pod="audit-0"}'

CASES: Final = (
    Case("LyktaCameraLost", "no recorder records a camera that is due", _due("0x70"), 1),
    Case("LyktaCameraLost", "another recorder has it", _due("1x70"), 0),
    Case("LyktaCameraLost", "it is back within two minutes", _due("1x58 0 1x20"), 0, at=59),
    Case("LyktaCoverageBelowTarget", "a minute of an hour is missing", _coverage("3480x70"), 1),
    Case("LyktaCoverageBelowTarget", "all but what may still arrive is recorded", _coverage("3540x70"), 0),
    Case("LyktaCoverageBelowTarget", "no mandate asks for anything", _coverage("0x70", scheduled="60x70"), 0),
    Case("LyktaTimeUnexplained", "ten seconds are neither recorded nor explained", _coverage("3530x70", "10x70"), 1),
    Case("LyktaTimeUnexplained", "what is missing is explained", _coverage("3000x70"), 0),
    Case("LyktaSpoolFilling", "more than half is used", _spool("600x70"), 1, severity="warning"),
    Case("LyktaSpoolFilling", "more than half is not critical", _spool("600x70"), 0, severity="critical"),
    Case("LyktaSpoolFilling", "more than four fifths is used", _spool("900x70"), 1, severity="critical"),
    Case("LyktaSpoolFilling", "critical is not told twice", _spool("900x70"), 0, severity="warning"),
    Case("LyktaSpoolFilling", "the spool breathes", _spool("100x70"), 0),
    Case("LyktaAnalysisBehind", "a tenth of the parts is given up", _analysis("0+300x70", "0+30x70"), 1),
    Case("LyktaAnalysisBehind", "a hundredth of the parts is given up", _analysis("0+300x70", "0+3x70"), 0),
    Case("LyktaAnalysisBehind", "nothing comes at all", _analysis("5x70", "5x70"), 0),
    Case("LyktaMandateExpiring", "in 45 days", _mandate(45), 1, severity="info"),
    Case("LyktaMandateExpiring", "in 20 days", _mandate(20), 1, severity="warning"),
    Case("LyktaMandateExpiring", "in 20 days, once", _mandate(20), 1),
    Case("LyktaMandateExpiring", "in 3 days", _mandate(3), 1, severity="critical"),
    Case("LyktaMandateExpiring", "yesterday", _mandate(-1), 1, severity="critical"),
    Case("LyktaMandateExpiring", "for two controllers", _mandate(45, 3), 2),
    Case("LyktaMandateExpiring", "in 61 days", _mandate(61), 0),
    Case("LyktaRetentionOverdue", "the last round went well three hours ago", _retention("0x190"), 1, at=180),
    Case("LyktaRetentionOverdue", "a deletion does not end", _retention("10800x190", "1x190"), 1, at=180),
    Case("LyktaRetentionOverdue", "rounds go well and deletions end", _retention("0+60x190", "1x150 0x50"), 0, at=180),
    Case("LyktaAuditNotAdvancing", "what was logged is not published", _log("0+10x70", "500x70"), 1),
    Case("LyktaAuditNotAdvancing", "publication follows within minutes", _log("0+10x70", "0 0 0+10x198"), 0),
    Case("LyktaAuditNotAdvancing", "nothing happens", _log("7x70", "7x70"), 0),
    Case("LyktaAuditHalted", "one process halted", _two_audits("lykta_audit_log_halted", "0x70", "0x58 1x20"), 1),
    Case("LyktaAuditHalted", "both are well", _two_audits("lykta_audit_log_halted", "0x70", "0x70"), 0),
    Case("LyktaAuditWithoutWriter", "nobody writes", _two_audits("lykta_audit_log_writing", "0x70", "0x70"), 1),
    Case("LyktaAuditWithoutWriter", "one of two writes", _two_audits("lykta_audit_log_writing", "0x70", "1x70"), 0),
    Case("LyktaDeadLetters", "the first one of a process", {_INTEGRITY: "_x55 1x20"}, 1),
    Case("LyktaDeadLetters", "one more", {_INTEGRITY: "3x55 4x20"}, 1),
    Case("LyktaDeadLetters", "two reasons", {_INTEGRITY: "_x55 1x20", _LETTERS % "INTERNAL": "1x55 2x20"}, 2),
    Case("LyktaDeadLetters", "old ones alone", {_INTEGRITY: "4x70"}, 0),
    Case("LyktaCertificateExpiring", "in ten days", _certificates(10), 1, severity="warning"),
    Case("LyktaCertificateExpiring", "tomorrow", _certificates(1), 1, severity="critical"),
    Case("LyktaCertificateExpiring", "in a month", _certificates(30), 0),
    Case("LyktaServiceNotReady", "storage has been unready for a quarter", _ready(storage="1x45 0x30"), 1),
    Case("LyktaServiceNotReady", "no audit is ready", _ready(audit="0x70"), 1),
    Case("LyktaServiceNotReady", "only the standby of audit is not", _ready(), 0),
    Case("LyktaServiceNotReady", "a restart of two minutes", _ready(ingest="1x58 0x20"), 0),
    Case("LyktaServiceAbsent", "nobody scrapes analytics", _ready(analytics=""), 1),
    Case("LyktaServiceAbsent", "all five are scraped", _ready(), 0),
    Case("LyktaNatsAway", "ingest alone lost it", {_INGEST: "0x70", _AUDIT: "1x70"}, 1),
    Case("LyktaNatsAway", "a reconnect within a minute", {_INGEST: "1x58 0 1x20"}, 0, at=59),
)  # fmt: skip
