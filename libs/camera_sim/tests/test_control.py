"""The HTTP control and the command line, from outside."""

import asyncio
import json
import signal
import sys

import pytest
from lykta_camera_sim import CameraSimulator, CameraSpec, FaultControl
from lykta_camera_sim.command import main


async def http(port, method, path, body=None, **headers):
    """Asks the control and returns status and decoded JSON."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    fields = {"Host": f"127.0.0.1:{port}", "Content-Type": "application/json", "Content-Length": len(content)} | headers
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(head.encode() + b"\r\n" + content)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body)


@pytest.fixture
async def control(clip):
    """A simulator with its control."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip)]) as sim, FaultControl(sim) as control:
        yield sim, control


async def test_faults_are_given_and_ended(control):
    """POST gives a fault, GET shows it, DELETE ends the named kind or all."""
    sim, door = control
    status, state = await http(door.port, "POST", "/cameras/torg/fault", {"kind": "drop", "probability": 0.5})
    assert (status, state["faults"]) == (200, ["drop"])
    await http(door.port, "POST", "/cameras/torg/fault", {"kind": "freeze", "seconds": 60})
    assert (await http(door.port, "GET", "/cameras"))[1][0]["faults"] == ["drop", "freeze"]
    assert (await http(door.port, "DELETE", "/cameras/torg/fault?kind=drop"))[1]["faults"] == ["freeze"]
    assert (await http(door.port, "DELETE", "/cameras/torg/fault"))[1]["faults"] == []
    state = (await http(door.port, "GET", "/cameras/torg"))[1]
    assert state["url"] == sim.address("torg")
    assert state["stats"]["frames_sent"] == 0
    assert "freeze" in (await http(door.port, "GET", "/faults"))[1]


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("POST", "/cameras/ingen/fault", {"kind": "freeze"}, {}, 404),
        ("POST", "/cameras/torg/fault", {"kind": "explode"}, {}, 422),
        ("POST", "/cameras/torg/fault", b"{", {}, 400),
        ("POST", "/cameras/torg/fault", [1], {}, 400),
        ("POST", "/cameras/torg/fault", {"kind": "freeze"}, {"Content-Type": "text/plain"}, 415),
        ("POST", "/cameras/torg/fault", None, {"Content-Length": 10_000_000}, 413),
        ("GET", "/cameras", None, {"Host": "evil.example:80"}, 403),
        ("PUT", "/cameras", None, {}, 404),
    ],
)
async def test_bad_requests_are_refused(control, method, path, body, headers, status):
    """Unknown cameras, paths, faults and hosts, and bodies that are not small JSON objects, are refused in words."""
    answer, said = await http(control[1].port, method, path, body, **headers)
    assert answer == status
    assert said["error"]
    assert control[0].state("torg")["faults"] == []


async def start(*arguments):
    """Starts the program and returns it with its ready line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lykta_camera_sim", *map(str, arguments), stdout=asyncio.subprocess.PIPE
    )
    return process, json.loads(await asyncio.wait_for(process.stdout.readline(), 20))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_program_serves_and_stops(clip, connect, tmp_path, number):
    """The program prints one ready line, serves its copies with a control and a record, and ends with 0 when told."""
    process, ready = await start(
        "--camera", f"torg={clip}", "--copies", 2, "--control-port", 0, "--capture-dir", tmp_path
    )
    try:
        assert list(ready["cameras"]) == ["torg-1", "torg-2"]
        client = await connect(ready["cameras"]["torg-2"])
        await client.play()
        await client.receive(lambda c: len(c.frames()) >= 3)
        status, state = await http(ready["control_port"], "GET", "/cameras/torg-2")
        assert (status, state["viewers"]) == (200, 1)
    finally:
        process.send_signal(number)
        code = await asyncio.wait_for(process.wait(), 10)
    assert code == 0
    assert len((tmp_path / "torg-2.jsonl").read_text().splitlines()) >= 3
    assert (tmp_path / "torg-1.jsonl").read_text() == ""


async def test_program_offers_only_what_is_asked(clip):
    """Without a control port there is none, and the ready line has no credentials."""
    process, ready = await start("--camera", f"torg={clip}", "--user", "op", "--password", "hemligt", "--near-wrap")
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 10) == 0
    assert ready["control_port"] is None
    assert "hemligt" not in json.dumps(ready)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--camera", "torg=/nowhere.mp4"], 1, "cannot read"),
        (["--camera", "torg"], 1, "NAME=FILE"),
        (["--camera", "a/b=x.mp4"], 1, "camera name"),
    ],
)
def test_program_says_what_is_wrong(capsys, arguments, code, says):
    """A camera that cannot be served ends the program with 1 and one line that says why."""
    assert main(arguments) == code
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_help_tells_the_faults(capsys):
    """The help names every fault, so that nobody has to read the source."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("freeze", "truncate", "curl", "--control-port"))
