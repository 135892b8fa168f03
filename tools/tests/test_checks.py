"""Each house check fails on a bad sample and passes its good twin."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.checks import boundaries, budgets, documents, imports, logs, promises, words
from tools.checks.__main__ import findings
from tools.checks.source import Source, python_files

SHIPPED = "services/audit/src/lykta_audit/tree.py"


def shipped(text: str, path: str = SHIPPED) -> Source:
    """A file of a service with the given text."""
    return Source(path, text)


def test_a_file_over_500_lines_is_found() -> None:
    """A file of 501 lines is refused, one of 500 is not."""
    assert [f.line for f in budgets.check(shipped("x = 1\n" * 501))] == [1]
    assert not list(budgets.check(shipped("x = 1\n" * 500)))


def test_a_function_over_60_lines_is_found_and_its_docstring_is_free() -> None:
    """A function of 61 lines is refused; the lines of its docstring do not count."""
    long = "def f() -> None:\n" + "    x = 1\n" * 60
    documented = 'def f() -> None:\n    """One.\n\n    Two.\n    """\n' + "    x = 1\n" * 59
    assert "f() has 61 lines" in next(iter(budgets.check(shipped(long)))).what
    assert not list(budgets.check(shipped(documented)))


def test_a_class_over_400_lines_is_found() -> None:
    """A class of 401 lines is refused."""
    assert "class C has 401" in next(iter(budgets.check(shipped("class C:\n" + "    x = 1\n" * 400)))).what


def test_a_seventh_positional_parameter_is_found() -> None:
    """Seven positional parameters are refused; self and keyword-only ones do not count."""
    assert list(budgets.check(shipped("def f(a, b, c, d, e, f, g): ...\n")))
    options = ", ".join(f"{name}: Annotated[str, typer.Option()]" for name in "abcdefg")
    assert not list(budgets.check(shipped(f"def f({options}): ...\n")))
    assert not list(budgets.check(shipped("def test_f(a, b, c, d, e, f, g): ...\n")))
    assert not list(budgets.check(shipped("class C:\n    def f(self, a, b, c, d, e, f, *, g): ...\n")))


@pytest.mark.parametrize("name", ["utils", "helpers", "misc", "base"])
def test_an_empty_module_name_is_found(name: str) -> None:
    """Modules and packages whose name says nothing are refused."""
    assert list(budgets.check(shipped("", f"services/audit/src/lykta_audit/{name}.py")))
    assert list(budgets.check(shipped("", f"services/audit/src/lykta_audit/{name}/rows.py")))


@pytest.mark.parametrize(
    "text",
    [
        "assert x\n",
        "import time\ntime.sleep(1)\n",
        "from time import sleep\n",
        "raise NotImplementedError\n",
        "raise NotImplementedError('later')\n",
        "try:\n    f()\nexcept:\n    pass\n",
        "try:\n    f()\nexcept Exception:\n    pass\n",
        "try:\n    f()\nexcept (ValueError, BaseException) as e:\n    pass\n",
        "x = 1  # TODO" + ": later\n",
    ],
)
def test_a_forbidden_construct_is_found_once(text: str) -> None:
    """Each construct that shipped code must not hold gives exactly one finding."""
    assert len(list(boundaries.check(shipped(text)))) == 1


def test_a_marked_boundary_and_a_named_exception_pass() -> None:
    """A wide handler with its mark, one that raises again, and a narrow one are all fine."""
    marked = "try:\n    f()\nexcept Exception as e:  # boundary: handler wrapper\n    pass\n"
    assert not list(boundaries.check(shipped(marked)))
    assert not list(boundaries.check(shipped("try:\n    f()\nexcept ValueError:\n    pass\n")))
    assert not list(boundaries.check(shipped("try:\n    f()\nexcept BaseException:\n    g()\n    raise\n")))


def test_asserts_are_allowed_in_tests() -> None:
    """Tests may assert; the rule is for shipped code."""
    assert not list(boundaries.check(Source("services/audit/tests/test_tree.py", "assert x\n")))


@pytest.mark.parametrize("name", ["grpc.aio", "faststream.nats", "nats", "minio", "obstore", "sqlalchemy.ext.asyncio"])
def test_a_transport_in_the_wrong_room_is_found(name: str) -> None:
    """A use case must not know a transport; app, handlers, grpc_server and store may."""
    assert list(imports.check(shipped(f"import {name}\n", "services/audit/src/lykta_audit/usecases.py")))
    for room in ("app.py", "handlers.py", "grpc_server.py", "store.py", "store/rows.py"):
        assert not list(imports.check(shipped(f"import {name}\n", f"services/audit/src/lykta_audit/{room}")))


def test_an_import_inside_a_function_is_found() -> None:
    """Hiding an import in a function does not help."""
    text = "def f():\n    from nats.aio import client\n"
    assert [f.line for f in imports.check(shipped(text))] == [2]


def tree(root: Path, files: dict[str, str]) -> Path:
    """A repository with the given files."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("imported", "found"),
    [
        ("import lykta_common.clock", 1),
        ("import structlog", 1),
        ("from pydantic import BaseModel", 1),
        ("import hashlib\nimport lykta_contracts.ids", 0),
        ("from lykta_audit.pure import x", 0),
        ("from lykta_audit import pure", 0),
        ("from . import pure", 0),
        ("from lykta_audit.store import x", 1),
        ("from lykta_audit import store", 1),
        ("from . import store", 1),
    ],
)
def test_domain_and_what_it_stands_on_are_pure(tmp_path: Path, imported: str, found: int) -> None:
    """A domain may use the standard library, contracts and pure modules beside it; the chain is followed."""
    package = "services/audit/src/lykta_audit"
    files = {
        f"{package}/domain.py": imported,
        f"{package}/pure.py": "import math",
        f"{package}/store.py": "import nats",
    }
    assert len(list(imports.check_domains(tree(tmp_path, files)))) == found


def test_the_recorder_may_not_decode() -> None:
    """Libav is refused in every service but analytics."""
    assert list(imports.check(shipped("import av\n", "services/ingest/src/lykta_ingest/h264.py")))
    assert not list(imports.check(shipped("import av\n", "services/analytics/src/lykta_analytics/decoder.py")))


def test_verify_uses_the_standard_library_and_cryptography_only() -> None:
    """The offline verifier refuses every other package."""
    path = "libs/verify/src/lykta_verify/note.py"
    assert list(imports.check(shipped("import httpx\n", path)))
    assert not list(imports.check(shipped("import json\nfrom cryptography import x509\n", path)))


def test_contracts_hold_no_mechanism() -> None:
    """The contracts refuse NATS and databases."""
    assert list(imports.check(shipped("import nats\n", "libs/contracts/src/lykta_contracts/streams.py")))


@pytest.mark.parametrize(
    "call",
    ["log.info(f'x {y}')", "self._log.error('Some text')", "logger.bind(a=1).warning('a %s', b)", "log.info(event)"],
)
def test_a_log_event_that_is_no_constant_name_is_found(call: str) -> None:
    """f-strings, sentences and variables are refused as log events."""
    assert list(logs.check(shipped(call + "\n")))


def test_a_constant_log_event_passes() -> None:
    """A constant lower_snake event with keys passes, and other objects' methods are left alone."""
    assert not list(logs.check(shipped("log.info('entry_appended', index=3)\nconsole.info('Any text')\n")))


def test_a_test_without_a_promise_is_found() -> None:
    """A test without docstring and a skip without reason are refused."""
    path = "services/audit/tests/test_tree.py"
    assert list(promises.check(Source(path, "def test_x(): ...\n")))
    assert list(promises.check(Source(path, "@pytest.mark.skip\ndef test_x():\n    '''Holds.'''\n")))
    assert list(promises.check(Source(path, "@pytest.mark.skip()\ndef test_x():\n    '''Holds.'''\n")))
    assert not list(promises.check(Source(path, "async def test_x():\n    '''Holds.'''\n")))


def test_a_noun_in_common_and_a_deployment_word_in_a_service_are_found(tmp_path: Path) -> None:
    """Nouns of the domain are refused in libs/common, words of deployment in services."""
    files = {
        "libs/common/src/lykta_common/x.py": "# one\n# the cam" + "era\n",
        "services/audit/README.md": "In stand" + "alone mode\n",
        "services/audit/src/lykta_audit/x.py": "# fine\n",
    }
    tree(tmp_path, files)
    assert [(f.path, f.line) for f in words.check(tmp_path)] == [
        ("libs/common/src/lykta_common/x.py", 2),
        ("services/audit/README.md", 1),
    ]


def test_broken_pages_are_found(tmp_path: Path) -> None:
    """Long pages, unnamed checks, taken numbers, dead links, missing pages and addresses in locks are refused."""
    pages = {
        "README.md": "line\n" * 201,
        "Makefile": "line\n" * 121,
        "CONTRIBUTING.md": "[gone](docs/gone.md) `[code](x.md)` [here](README.md)\n",
        "docs/decisions/0001-a.md": "line\n" * 36,
        "docs/decisions/0001-b.md": "**Check:** `tests/gone.py`\n",
        "SECURITY.md": "Run `make nothing`.\n",
        "docs/decisions/note.md": "",
        "services/audit/pyproject.toml": "",
        "requirements.lock": "--index-url https://example.org\n",
    }
    found = sorted((f.path, f.what) for f in documents.check(tree(tmp_path, pages)))
    assert [path for path, _ in found] == [
        "CONTRIBUTING.md",
        "Makefile",
        "README.md",
        "SECURITY.md",
        "docs/decisions/0001-a.md",
        "docs/decisions/0001-a.md",
        "docs/decisions/0001-b.md",
        "docs/decisions/0001-b.md",
        "docs/decisions/note.md",
        "requirements.lock",
        "services/audit/README.md",
    ]


def test_all_checks_see_a_file_of_the_tree_and_leave_generated_code_alone(tmp_path: Path) -> None:
    """The runner finds a broken rule in a tree, and does not look at generated files."""
    names = (SHIPPED, "libs/contracts/src/lykta/audit/v1/x_pb2.py", "services/audit/.venv/x.py")
    tree(tmp_path, dict.fromkeys(names, "assert x\n"))
    assert [source.path for source in python_files(tmp_path)] == [SHIPPED]
    assert [str(f) for f in findings(tmp_path)] == [
        f"{SHIPPED}:1: assert in shipped code. Raise an error that names the broken promise; python -O removes asserts."
    ]
