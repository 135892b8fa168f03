"""`lykta up`: the whole platform on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from lykta_standalone.cli.failure import run
from lykta_standalone.downloads import default_cache
from lykta_standalone.layout import DEFAULT_STATE, STATE_VARIABLE
from lykta_standalone.real_camera import RealCamera, read_camera
from lykta_standalone.registry import NAMES

_EPILOG = """[bold]Examples[/bold]

  lykta up

  lykta up --ephemeral --nats-port 4222

  lykta up --no-demo-cameras --camera hall=rtsp://user:pass@192.0.2.7/stream1
"""


def register(application: typer.Typer) -> None:
    """Add the command."""
    application.command("up", epilog=_EPILOG)(up)


def up(
    *,
    state_dir: Annotated[Path, typer.Option(envvar=STATE_VARIABLE, help="Where everything is kept.")] = DEFAULT_STATE,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Keep nothing: a state directory of its own.")] = False,
    target: Annotated[str, typer.Option(help="Only these services, with commas, e.g. ingest,audit.")] = "",
    camera: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=RTSP-URL", help="Record a real camera too, under a mandate of the demo people."),
    ] = None,
    demo_cameras: Annotated[bool, typer.Option(help="Replay street footage as three cameras.")] = True,
    nats_port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 0,
    s3_port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 0,
    identity_port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 0,
    camera_port: Annotated[int, typer.Option(min=0, max=65535, help="Of the demo cameras; 0: a free one.")] = 0,
    grpc_port: Annotated[
        list[str] | None, typer.Option(metavar="SERVICE=PORT", help="Port of one service, e.g. audit=7005.")
    ] = None,
    otlp: Annotated[str, typer.Option(metavar="HOST:PORT", help="Send traces to an OTLP/gRPC collector.")] = "",
    capture: Annotated[bool, typer.Option("--capture", help="Keep what the demo cameras sent, NAL by NAL.")] = False,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of a service (docs/config.md).")
    ] = None,
) -> None:
    """Run the whole platform on this machine: NATS, S3, the five services, a demo municipality and its cameras.

    Everything listens on loopback. Ctrl-C stops it in order; a second one at once. Identity provider and people are for
    [bold]DEVELOPMENT[/bold]: they have no passwords.
    """
    ports = {"nats": nats_port, "s3": s3_port, "identity": identity_port, "cameras": camera_port}
    run(
        _up(
            state_dir, _targets(target), camera or [], ephemeral=ephemeral, demo_cameras=demo_cameras, otlp=otlp,
            ports={name: port for name, port in ports.items() if port} | _grpc_ports(grpc_port or []),
            capture=capture, settings=_settings(setting or []),
        )
    )  # fmt: skip


async def _up(
    state_dir: Path, targets: tuple[str, ...], cameras: list[str], *, ephemeral: bool, demo_cameras: bool, otlp: str,
    ports: dict[str, int], capture: bool, settings: dict[str, str],
) -> None:  # fmt: skip
    # Here, so that no other command waits for servers and their clients to be imported.
    from lykta_standalone.supervisor import UpOptions
    from lykta_standalone.up import run_up

    real: list[RealCamera] = []
    secrets: dict[str, dict[str, str]] = {}
    allow = ["127.0.0.0/8"]
    for text in cameras:
        parsed, secret, networks = read_camera(text)
        real.append(parsed)
        secrets |= {parsed.credentials_ref: secret} if secret else {}
        allow += networks
    options = UpOptions(
        state_dir, default_cache(), ports, targets, demo_cameras, tuple(real), tuple(dict.fromkeys(allow)), secrets,
        otlp, capture, settings,
    )  # fmt: skip
    await run_up(options, ephemeral=ephemeral)


def _targets(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise typer.BadParameter(f"unknown service {unknown[0]}; use {', '.join(NAMES)}")
    return names or NAMES


def _grpc_ports(pairs: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for pair in pairs:
        name, _, port = pair.partition("=")
        if name not in NAMES or not port.isdecimal() or not 0 < int(port) < 65536:
            raise typer.BadParameter(f"--grpc-port {pair}: write SERVICE=PORT with one of {', '.join(NAMES)}")
        found[name] = int(port)
    return found


def _settings(pairs: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.startswith("LYKTA_"):
            raise typer.BadParameter("--set takes LYKTA_<SERVICE>__<NAME>=VALUE; docs/config.md lists them")
        found[name] = value
    return found
