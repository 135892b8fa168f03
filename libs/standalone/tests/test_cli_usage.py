"""The command line explains itself and leaves with the documented exit codes."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import typer
from lykta_common.errors import Code, PlatformError
from lykta_standalone.cli import application
from lykta_standalone.cli.failure import REFUSED, UNAVAILABLE, WRONG_USAGE, code_of
from typer.testing import CliRunner

RUNNER = CliRunner()


def _commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        found += _commands(command, (*path, name)) if hasattr(command, "commands") else [(*path, name)]
    return found


WITHOUT_PERSON = [("up",), ("demo",), ("backup",), ("restore",), ("receipts",), ("decisions",), ("drill",)]
COMMANDS = _commands(typer.main.get_command(application))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(path: tuple[str, ...]) -> None:
    """`--help` says in a sentence what it does and shows how it is used."""
    result = RUNNER.invoke(application, [*path, "--help"])
    assert result.exit_code == 0
    assert "Examples" in result.output
    assert f"lykta {' '.join(path)}" in result.output


@pytest.mark.parametrize("path", [path for path in COMMANDS if path not in WITHOUT_PERSON], ids=" ".join)
def test_every_operator_command_takes_the_common_options(path: tuple[str, ...]) -> None:
    """A person, a state directory and JSON can be chosen everywhere."""
    output = RUNNER.invoke(application, [*path, "--help"]).output
    assert all(option in output for option in ("--as", "--json", "--state-dir"))


def test_without_a_platform_it_says_how_to_start_one(tmp_path: Path) -> None:
    """No running platform is exit code 3, try again."""
    result = RUNNER.invoke(application, ["camera", "list", "--state-dir", str(tmp_path)])
    assert result.exit_code == UNAVAILABLE
    assert "lykta up" in result.output


@pytest.mark.parametrize(
    "arguments",
    [["camera", "paint"], ["up", "--target", "nothing"], ["up", "--nats-port", "70000"], ["up", "--set", "X"],
     ["up", "--grpc-port", "audit=x"], ["footage", "get"]],
)  # fmt: skip
def test_wrong_usage_is_exit_code_two(arguments: list[str]) -> None:
    """What does not make sense is refused before anything is done."""
    assert RUNNER.invoke(application, arguments).exit_code == WRONG_USAGE


def test_only_what_may_work_later_is_unavailable() -> None:
    """Exit code 3 means: the same command may work in a while; a refusal is 1."""
    assert code_of(PlatformError(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", "x")) == UNAVAILABLE
    assert code_of(PlatformError(Code.DEADLINE_EXCEEDED, "DEADLINE", "x")) == UNAVAILABLE
    assert code_of(PlatformError(Code.PERMISSION_DENIED, "ROLE", "x")) == REFUSED
    assert code_of(PlatformError(Code.NOT_FOUND, "NOT_FOUND", "x")) == REFUSED


def test_the_stories_have_a_promise_for_each_step() -> None:
    """Every step of `lykta demo` and `lykta drill` has its promise as its docstring."""
    from lykta_standalone.demo.story import STEPS as DEMO
    from lykta_standalone.drill.story import STEPS as DRILL

    for steps in (DEMO, DRILL):
        assert len({step for _, step in steps}) == len(steps)
        assert all(inspect.getdoc(step) for _, step in steps)
