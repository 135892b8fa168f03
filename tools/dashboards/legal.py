"""Legal state: mandates, deletion, and the log that proves them."""

from __future__ import annotations

from typing import Final

from tools.dashboards.panels import Dashboard, Panel, metric, rate

_EXPIRY: Final = f"min by (controller) ({metric('access_control_mandate_expiry_timestamp_seconds')})"


LEGAL: Final = Dashboard(
    "legal",
    "Lykta: legal state",
    "Under which decisions is recorded, what is deleted on time, and whether the log proves it",
    (
        (
            "Mandates",
            (
                Panel(
                    "First mandate ends in",
                    "Of those under which cameras record",
                    ((f"{_EXPIRY} - time()", "{{controller}}"),),
                    unit="s",
                    kind="stat",
                    bad_below=30 * 86400,
                ),
                Panel(
                    "Cameras ordered",
                    "Cameras with a live order",
                    ((f"max by (controller) ({metric('access_control_cameras_ordered')})", "{{controller}}"),),
                    kind="stat",
                ),
                Panel(
                    "Mandates",
                    "Versions by state",
                    (
                        (
                            f"max by (controller, state) ({metric('access_control_mandates')})",
                            "{{controller}} {{state}}",
                        ),
                    ),
                ),
                Panel(
                    "Orders end in",
                    "By camera, as the recorders obey them",
                    (
                        (
                            "min by (controller, camera) "
                            f"({metric('ingest_mandate_valid_until_timestamp_seconds')}) - time()",
                            "{{controller}} {{camera}}",
                        ),
                    ),
                    unit="s",
                    width=12,
                ),
                Panel(
                    "Decisions",
                    "Answers to the question whether somebody may, by reason of a refusal",
                    (
                        (
                            f"sum by (allowed, reason) ({rate('access_control_decisions_total')})",
                            "{{allowed}} {{reason}}",
                        ),
                    ),
                    unit="ops",
                    width=12,
                ),
            ),
        ),
        (
            "Deletion",
            (
                Panel(
                    "Since a whole retention round",
                    "Without a failure",
                    ((f"time() - max({metric('storage_retention_success_timestamp_seconds')})", "since"),),
                    unit="s",
                    kind="stat",
                    bad_above=7200,
                ),
                Panel(
                    "Unfinished deletions",
                    "Camera-hours whose key is destroyed and whose objects or receipt are not done",
                    ((f"max({metric('storage_deletions_unfinished')})", "hours"),),
                    kind="stat",
                    bad_above=1,
                ),
                Panel(
                    "Deleted",
                    "Camera-hours in the last day",
                    (
                        (
                            f"sum by (controller) (increase({metric('storage_hours_deleted_total')}[1d]))",
                            "{{controller}}",
                        ),
                    ),
                ),
                Panel(
                    "Keys alive",
                    "Camera-hours that can be decrypted, with those prepared for the hours to come",
                    ((f"max({metric('storage_hour_keys_alive')})", "keys"),),
                ),
            ),
        ),
        (
            "Evidence",
            (
                Panel(
                    "Audit log",
                    "Entries, and entries under the published checkpoint",
                    (
                        (f"max({metric('audit_log_entries')})", "entries"),
                        (f"max({metric('audit_published_entries')})", "published"),
                    ),
                ),
                Panel(
                    "Since a checkpoint",
                    "Was published by the process that writes now",
                    ((f"time() - max({metric('audit_checkpoint_timestamp_seconds')} > 0)", "since"),),
                    unit="s",
                    kind="stat",
                ),
                Panel(
                    "Writers",
                    "Processes that write the log: exactly one",
                    ((f"sum({metric('audit_log_writing')})", "writers"),),
                    kind="stat",
                    width=4,
                    bad_below=1,
                ),
                Panel(
                    "Halted",
                    "Stored bytes of the log do not hold",
                    ((f"max({metric('audit_log_halted')})", "halted"),),
                    kind="stat",
                    width=4,
                    bad_above=1,
                ),
                Panel(
                    "Seals pending",
                    "Ended camera-hours whose root is not in the log yet",
                    ((f"max({metric('storage_seals_pending')})", "hours"),),
                ),
            ),
        ),
    ),
)
