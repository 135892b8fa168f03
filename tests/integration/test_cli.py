"""The operator's commands against a running platform: answers, refusals, exit codes, and JSON that is protobuf JSON."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from lykta.access_control.v1 import directory_service_pb2, grant_service_pb2, mandate_service_pb2
from lykta.analytics.v1 import incident_service_pb2
from lykta.audit.v1 import log_service_pb2
from lykta.ingest.v1 import session_service_pb2
from lykta.storage.v1 import catalogue_service_pb2
from lykta_contracts.platform_file import PlatformFile

from tests.integration.harness import Platform, eventually

CAMERA = "tradgardstorget-1"
REFUSED, UNAVAILABLE = 1, 3


def _json(platform: Platform, *arguments: str) -> dict[str, Any]:
    done = platform.cli(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def recorded(platform: Platform) -> str:
    """The start of footage that is in the catalogue, long enough for a clip; RFC 3339."""

    def look() -> str:
        segments = _json(platform, "footage", "list", CAMERA, "--as", "anna").get("segments", [])
        return str(segments[0]["from"]) if len(segments) >= 2 else ""

    return eventually(look, 90, "two segments in the catalogue")


@pytest.fixture(scope="module")
def case_id(platform: Platform) -> str:
    """A case of anna's."""
    opened = _json(platform, "case", "open", "0500-K1-26", "--purpose", "a test of the commands", "--as", "anna")
    return str(opened["case"]["caseId"])


def _grant(platform: Platform, case_id: str, start: str) -> str:
    """Ask as anna, approve as bertil."""
    arguments = ["grant", "request", case_id, "--camera", CAMERA, "--from", start, "--to", "now", "--as", "anna"]
    grant_id = str(_json(platform, *arguments)["grant"]["grantId"])
    assert platform.cli("grant", "approve", grant_id, "--as", "bertil").returncode == 0
    return grant_id


@pytest.mark.parametrize(
    ("arguments", "response"),
    [
        (["camera", "list", "--as", "karin"], directory_service_pb2.CameraServiceListResponse),
        (["camera", "show", CAMERA, "--as", "karin"], directory_service_pb2.CameraServiceGetResponse),
        (["camera", "sessions", "--as", "olle"], session_service_pb2.ListResponse),
        (["mandate", "list", "--as", "karin"], mandate_service_pb2.MandateServiceListResponse),
        (["case", "list", "--as", "anna"], grant_service_pb2.CaseServiceListResponse),
        (["grant", "list", "--as", "anna"], grant_service_pb2.GrantServiceListResponse),
        (["footage", "list", CAMERA, "--as", "anna"], catalogue_service_pb2.ListFootageResponse),
        (["footage", "gaps", CAMERA, "--as", "anna"], catalogue_service_pb2.ListGapsResponse),
        (["coverage", "--as", "anna"], catalogue_service_pb2.CoverageResponse),
        (["incidents", "list", "--as", "olle"], incident_service_pb2.ListResponse),
        (["audit", "search", "--as", "david"], log_service_pb2.SearchResponse),
        (["audit", "checkpoint"], log_service_pb2.GetCheckpointResponse),
        (["retention", "run", "--as", "david"], catalogue_service_pb2.RunResponse),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_json_is_the_response_behind_the_command(
    platform: Platform, recorded: str, arguments: list[str], response: type[Any]
) -> None:
    """`--json` parses as the protobuf JSON of the response, without a field that is not in it."""
    json_format.ParseDict(_json(platform, *arguments), response())
    plain = platform.cli(*arguments)
    assert plain.returncode == 0
    assert plain.stdout.strip()


def test_endpoints_are_those_of_platform_json(platform: Platform) -> None:
    """`lykta endpoints --json` prints the attach points that other programs read from the file."""
    assert PlatformFile.model_validate(_json(platform, "endpoints")) == platform.file


def test_status_names_every_process_and_camera(platform: Platform) -> None:
    """Processes, their health and restarts, and each camera with its state."""
    content = _json(platform, "status")
    assert {item["name"] for item in content["processes"]} >= {*platform.file.grpc, "nats-server", "weed", "cameras"}
    text = platform.cli("status").stdout
    assert CAMERA in text
    assert "ingest" in text


def test_who_logged_in_is_remembered_and_another_can_be_named(platform: Platform) -> None:
    """`login` is kept for the next command, `--as` wins over it, an unknown person is refused with the known ones."""
    assert platform.cli("login", "karin").returncode == 0
    assert platform.cli("mandate", "list").returncode == 0
    refused = platform.cli("audit", "search")
    assert refused.returncode == REFUSED
    assert "[ROLE]" in refused.stderr
    assert platform.cli("audit", "search", "--as", "david").returncode == 0
    unknown = platform.cli("login", "mallory")
    assert unknown.returncode == REFUSED
    assert "anna" in unknown.stderr


def test_footage_is_refused_granted_fetched_and_proved(
    platform: Platform, recorded: str, case_id: str, tmp_path: Path
) -> None:
    """Without a grant nothing is written; with one the package proves itself without the platform."""
    wanted = [CAMERA, "--from", recorded, "--to", "now", "--output", str(tmp_path / "clip"), "--as", "anna"]
    refused = platform.cli("footage", "get", *wanted)
    assert (refused.returncode, list(tmp_path.iterdir())) == (REFUSED, [])
    assert "[NO_GRANT]" in refused.stderr
    grant_id = _grant(platform, case_id, recorded)
    start = _grant_start(platform, grant_id)
    wanted = [CAMERA, "--from", start, "--to", "-15s", "--output", str(tmp_path / "clip"), "--as", "anna"]
    done = platform.cli("footage", "get", *wanted, "--grant", grant_id)
    assert done.returncode == 0, done.stderr
    verified = subprocess.run(
        [sys.executable, "-I", "-m", "lykta_verify", "clip", str(tmp_path / "clip"), "--vkey",
         platform.file.audit_verifier_key, "--recorder-key", platform.file.recorder_key_file],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert platform.cli("footage", "verify", str(tmp_path / "clip")).returncode == 0
    again = platform.cli("footage", "get", *wanted, "--grant", grant_id)
    assert again.returncode == REFUSED
    assert "--output" in again.stderr


def test_a_revocation_ends_a_realtime_fetch_with_exit_code_one(
    platform: Platform, recorded: str, case_id: str, tmp_path: Path
) -> None:
    """What was delivered stays and proves itself; the command says that the right ended, and why."""
    grant_id = _grant(platform, case_id, recorded)
    start, clip = _grant_start(platform, grant_id), tmp_path / "clip"
    arguments = [CAMERA, "--from", start, "--to", "-12s", "--output", str(clip), "--as", "anna", "--grant", grant_id]
    results: list[subprocess.CompletedProcess[str]] = []
    fetching = threading.Thread(
        target=lambda: results.append(platform.cli("footage", "get", *arguments, "--realtime", seconds=120))
    )
    fetching.start()
    eventually(lambda: (clip / "clip.mp4").exists(), 60, "the first fragment", every=0.02)
    assert platform.cli("grant", "revoke", grant_id, "--as", "bertil").returncode == 0
    fetching.join(120)
    assert results[0].returncode == REFUSED, results[0].stdout
    assert "[GRANT_REVOKED]" in results[0].stderr
    assert platform.cli("footage", "verify", str(clip)).returncode == 0


def test_a_mandate_is_drafted_proposed_approved_and_ended_on_the_command_line(
    platform: Platform, tmp_path: Path
) -> None:
    """The template fits, the drafter cannot approve, the second person can, and it can be ended."""
    template = json.loads(platform.cli("mandate", "template", "--as", "karin").stdout)
    added = platform.cli(
        "camera", "add", "ny-kamera", "--place", "tradgardstorget", "--name", "Ny", "--address",
        "rtsp://127.0.0.1:9/none", "--as", "karin",
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    file = tmp_path / "mandate.json"
    file.write_text(json.dumps(template | {"place": "tradgardstorget", "cameras": ["ny-kamera"]}))
    mandate_id = _json(platform, "mandate", "draft", str(file), "--as", "karin")["mandate"]["mandateId"]
    assert platform.cli("mandate", "propose", mandate_id, "--as", "karin").returncode == 0
    assert platform.cli("mandate", "approve", mandate_id, "--as", "karin").returncode == REFUSED
    approved = _json(platform, "mandate", "approve", mandate_id, "--as", "bertil")
    assert approved["mandate"]["state"] == "MANDATE_STATE_APPROVED"
    assert platform.cli("mandate", "end", mandate_id, "--reason", "test", "--as", "bertil").returncode == 0
    assert "ended" in platform.cli("mandate", "show", mandate_id, "--as", "karin").stdout


def test_an_incident_is_tailed_as_it_comes(platform: Platform) -> None:
    """The next step in the life of an incident is printed, one line of JSON each."""
    done = platform.cli("incidents", "tail", "--count", "1", "--json", "--as", "olle", seconds=120)
    assert done.returncode == 0, done.stderr
    step = json_format.ParseDict(json.loads(done.stdout), incident_service_pb2.WatchResponse())
    assert step.incident.controller == "ks"


def test_the_log_verifies_and_a_changed_copy_does_not(platform: Platform, recorded: str, tmp_path: Path) -> None:
    """A downloaded log verifies, extends an earlier checkpoint, and one changed byte ends with exit code 1."""
    checkpoint, copy = tmp_path / "earlier", tmp_path / "log"
    checkpoint.write_text(_json(platform, "audit", "checkpoint")["checkpoint"])
    assert platform.cli("audit", "download", str(copy)).returncode == 0
    verified = platform.cli("audit", "verify", str(copy), "--since", str(checkpoint))
    assert verified.returncode == 0, verified.stdout
    assert "extends the earlier checkpoint" in verified.stdout
    bundle = max(
        (path for path in (copy / "tile" / "entries").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
    )
    content = bytearray(bundle.read_bytes())
    content[len(content) // 3] ^= 1
    bundle.write_bytes(content)
    damaged = platform.cli("audit", "verify", str(copy))
    assert damaged.returncode == REFUSED
    assert re.search(r"FAILED .*tile/entries", damaged.stdout)


def test_another_controllers_things_are_not_found(platform: Platform, case_id: str) -> None:
    """Somebody else's camera, case and footage are answered as if they did not exist."""
    for arguments in (
        ["camera", "show", CAMERA, "--controller", "ks"],
        ["case", "close", case_id],
        ["footage", "list", CAMERA, "--controller", "ks"],
        ["coverage", "--controller", "ks"],
        ["audit", "search", "--controller", "ks"],
    ):
        done = platform.cli(*arguments, "--as", "eva")
        assert (done.returncode, "[NOT_FOUND]" in done.stderr) == (REFUSED, True), (arguments, done.stderr)


def test_a_service_that_is_away_is_exit_code_three(platform: Platform) -> None:
    """While audit is down, what needs it says: try again."""
    with platform.held_down("audit"):
        done = platform.cli("audit", "checkpoint")
    assert done.returncode == UNAVAILABLE, done.stderr
    eventually(lambda: platform.cli("audit", "checkpoint").returncode == 0, 60, "audit again")


def _grant_start(platform: Platform, grant_id: str) -> str:
    grants = _json(platform, "grant", "list", "--as", "anna")["grants"]
    return str(next(grant["from"] for grant in grants if grant["grantId"] == grant_id))
