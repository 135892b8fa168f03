"""Operations: does every service do its job, and how much room is left."""

from __future__ import annotations

from typing import Final

from tools.dashboards.panels import Dashboard, Panel, every, latency, metric, rate

OPERATIONS: Final = Dashboard(
    "operations",
    "Lykta: operations",
    "Does every service do its job, and how much room is left",
    (
        (
            "Services",
            (
                Panel(
                    "Processes not ready",
                    "Standbys of audit are not ready on purpose",
                    ((f"count({every('ready')} == 0) or vector(0)", "not ready"),),
                    kind="stat",
                    width=4,
                    bad_above=1,
                ),
                Panel(
                    "Without NATS",
                    "Processes without a connection to NATS",
                    ((f"count({every('nats_connected')} == 0) or vector(0)", "away"),),
                    kind="stat",
                    width=4,
                    bad_above=1,
                ),
                Panel(
                    "Certificates end in",
                    "The first certificate that a process runs with",
                    ((f"min({every('certificate_expiry_timestamp_seconds')} - time())", "first"),),
                    unit="s",
                    kind="stat",
                    width=4,
                    bad_below=14 * 86400,
                ),
                Panel(
                    "Failing checks",
                    "Checks that fail, by process",
                    ((f"{every('check_failing')} == 1", "{{pod}} {{check}}"),),
                    width=12,
                ),
            ),
        ),
        (
            "Facts",
            (
                Panel(
                    "Outbox",
                    "Facts that wait in a database to be published",
                    ((every("outbox_pending"), "{{pod}}"),),
                ),
                Panel(
                    "Dead letters",
                    "Messages put aside in the last hour",
                    (
                        (
                            f"sum by (durable, reason) (increase({every('dead_letters_total')}[1h]))",
                            "{{durable}} {{reason}}",
                        ),
                    ),
                ),
                latency(
                    "Catalogue lag",
                    "From the end of a segment to its row in the catalogue",
                    "storage_catalogue_lag_seconds",
                ),
            ),
        ),
        (
            "Recording",
            (
                Panel(
                    "Spool",
                    "Share of the spool that is in use",
                    ((f"{metric('ingest_spool_bytes')} / {metric('ingest_spool_limit_bytes')}", "{{pod}}"),),
                    unit="percentunit",
                ),
                Panel(
                    "Recorded",
                    "Bytes made durable in spools",
                    ((f"sum by (pod) ({rate('ingest_fragment_bytes_total')})", "{{pod}}"),),
                    unit="Bps",
                ),
                Panel(
                    "Segments",
                    "Uploaded by recorders, and taken into the catalogue",
                    (
                        (f"sum({rate('ingest_segments_uploaded_total')})", "uploaded"),
                        (f"sum({rate('storage_segments_catalogued_total')})", "catalogued"),
                    ),
                    unit="ops",
                ),
                Panel(
                    "Waiting fragments",
                    "In spools, not yet confirmed by storage",
                    ((metric("ingest_fragments_waiting"), "{{pod}}"),),
                ),
                Panel(
                    "Refused by spools",
                    "Records that a spool did not take, in the last hour",
                    ((f"sum by (pod) (increase({metric('ingest_spool_refusals_total')}[1h]))", "{{pod}}"),),
                ),
                Panel(
                    "Live parts dropped",
                    "That nobody could take, in the last hour",
                    ((f"sum by (pod) (increase({metric('ingest_live_parts_dropped_total')}[1h]))", "{{pod}}"),),
                ),
            ),
        ),
        (
            "Analysis",
            (
                Panel(
                    "Pictures",
                    "Analysed, all cameras",
                    ((f"sum by (controller) ({rate('analytics_pictures_total')})", "{{controller}}"),),
                    unit="ops",
                ),
                latency("Detector", "Time of one picture; the target is 15 ms", "analytics_detector_seconds"),
                latency("Frame to commit", "The targets are 250 and 500 ms", "analytics_incident_commit_seconds"),
                Panel(
                    "Parts given up",
                    "Because analysis is behind",
                    (
                        (
                            f"sum by (controller, camera) ({rate('analytics_parts_dropped_total')})",
                            "{{controller}} {{camera}}",
                        ),
                    ),
                    unit="ops",
                ),
                Panel(
                    "Decoder failures",
                    "In the last hour, by reason",
                    ((f"sum by (reason) (increase({metric('analytics_decoder_failures_total')}[1h]))", "{{reason}}"),),
                ),
                Panel(
                    "Incidents opened",
                    "In the last hour, by category",
                    (
                        (
                            "sum by (controller, category) "
                            f"(increase({metric('analytics_incidents_total', lifecycle='open')}[1h]))",
                            "{{controller}} {{category}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "Reading and deciding",
            (
                Panel(
                    "Playbacks",
                    "Open now, and bytes handed out",
                    ((f"sum({metric('storage_playbacks_open')})", "open"),),
                ),
                Panel(
                    "Footage handed out",
                    "To readers with a grant",
                    ((f"sum({rate('storage_playback_bytes_total')})", "bytes"),),
                    unit="Bps",
                ),
                latency("Decisions", "Time of one answer of access-control", "access_control_decision_seconds"),
                latency("Audit appends", "Time to a durable place; the target is 10 ms", "audit_append_seconds"),
            ),
        ),
    ),
)
