# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The worked examples of CONTRIBUTING.md work exactly as printed, in another package and built in.

A block of code names its file in its first line. The test writes these files, makes the changes that the page lists,
and uses what they add.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from airflow_provider_hooks.connection_form import ExtraField
from airflow_provider_hooks.delivery.connection import SERVICE_HOOK
from airflow_provider_hooks.events.formats import FORMATS
from airflow_provider_hooks.hooks.registry import RegistryHook
from airflow_provider_hooks.operators.delivery import DeliverEventOperator
from airflow_provider_hooks.operators.registration import DeleteServiceHookOperator, RegisterServiceHookOperator
from airflow_provider_hooks.registries import platforms
from airflow_provider_hooks.registries.connection import describe_connection_type
from airflow_provider_hooks.registries.platforms import load_platforms
from airflow_provider_hooks.signing import SCHEMES, verify
from airflow_provider_hooks.signing.secrets import parse_secrets
from tests.airflow_context import make_context
from tests.docs.code_blocks import read_page
from tests.servers import OK, raw_server

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).parent.parent.parent
CONTRIBUTING = REPOSITORY / "CONTRIBUTING.md"
PAGE = CONTRIBUTING.read_text()
BLOCKS = read_page(CONTRIBUTING).blocks
SPDX = "".join(Path(__file__).read_text().splitlines(keepends=True)[:2])
PACKAGE = "airflow_provider_hooks/"
SAME_CLASS = {
    f"{PACKAGE}registries/platforms/helpdesk.py": "acme_hooks/helpdesk.py",
    f"{PACKAGE}events/acme_format.py": "acme_hooks/formats.py",
}
"""The built-in modules that have the code of the package, by their paths."""
URL = "https://hooks.example.com/airflow"


def read_blocks(language: str, first_line: str) -> list[tuple[str, str]]:
    """Return the path and the text of each block of the page whose first line is the path of a file."""
    blocks = (block.code.partition("\n") for block in BLOCKS if block.language == language)
    return [(found[1], text) for line, _, text in blocks if (found := re.fullmatch(first_line, line))]


MODULES = dict(read_blocks("python", r"# (\S+\.py)"))
PROJECT = "\n".join(text for _, text in read_blocks("toml", r"# (pyproject\.toml)"))
CHANGES = read_blocks("text", r"(\S+\.py)")
CONNECTIONS = {
    name: connection
    for block in BLOCKS
    if block.language == "json"
    for name, connection in json.loads(block.code).items()
}


def apply_change(text: str, change: str) -> str:
    """
    Return a text with each part of a change made.

    A part only adds lines, and shows their place by lines that no other new row changes; else a new platform or format
    would make the page wrong.
    """
    for part in change.split("@@\n")[1:]:
        lines = part.splitlines(keepends=True)
        assert {line[0] for line in lines} == {"+", " "}, f"the page must only add lines: {part}"
        old = "".join(line[1:] for line in lines if line[0] == " ")
        new = "".join(line[1:] for line in lines)
        assert text.count(old) == 1, f"the page shows a place that is not there: {old}"
        text = text.replace(old, new)
    return text


def write_file(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The package of the examples, installed: its files, and the metadata that its pyproject.toml leads to."""
    folder = tmp_path_factory.mktemp("acme")
    for path, text in MODULES.items():
        if not path.startswith(PACKAGE):
            write_file(folder / path, text)
    write_file(folder / "acme_hooks" / "__init__.py", "")
    project = tomllib.loads(PROJECT)["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    write_file(info / "METADATA", metadata)
    lines = []
    for group, rows in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in rows.items())]
    write_file(info / "entry_points.txt", "\n".join([*lines, ""]))
    return folder


@pytest.fixture
def installed(folder, monkeypatch):
    """The package of the examples in this process, which forgets it after the test."""
    load_platforms()
    monkeypatch.setattr(platforms, "_registered", dict(load_platforms()))
    monkeypatch.syspath_prepend(folder)
    for table in (SCHEMES, FORMATS):
        monkeypatch.setattr(table, "_all", None)
    platforms._load_entry_points.cache_clear()
    yield
    platforms._load_entry_points.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_hooks"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def built_in(tmp_path_factory) -> Path:
    """A copy of the provider and its tests with the examples built in."""
    folder = tmp_path_factory.mktemp("built-in")
    for name in (PACKAGE, "tests"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    modules = {path: text for path, text in MODULES.items() if path.startswith(PACKAGE)}
    for path, text in {**modules, **{path: MODULES[source] for path, source in SAME_CLASS.items()}}.items():
        write_file(folder / path, SPDX + text)
    for path, change in CHANGES:
        write_file(folder / path, apply_change((folder / path).read_text(), change))
    # The page shows a place that stays; with more platforms or formats it may not be the one in the order of imports.
    run("-m", "ruff", "check", "--no-cache", "--fix-only", "--select", "I", ".", cwd=folder, path=[])
    return folder


def run(*arguments: object, cwd: Path, path: list[Path]) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class HelpdeskServer(BaseHTTPRequestHandler):
    """Serves the API that the page describes in a table."""

    webhooks: dict

    def respond(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else {}
        root, _, hook_id = self.path.removeprefix("/teams/orders/webhooks").partition("/")
        assert (root, self.headers["Authorization"]) == ("", "Bearer a-token"), self.path
        status, content = self.answer(hook_id, body)
        text = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def answer(self, hook_id, body):
        if self.command == "POST":
            webhook = {"id": "w1", "secret": "secret-of-the-platform", **body}
            self.webhooks["w1"] = webhook
            return 201, webhook
        if not hook_id:
            return 200, list(self.webhooks.values())
        if hook_id not in self.webhooks:
            return 404, {"message": "no such webhook"}
        if self.command == "DELETE":
            del self.webhooks[hook_id]
            return 204, None
        return 200, self.webhooks[hook_id]

    do_GET = do_POST = do_DELETE = respond  # noqa: N815  (the names of http.server)

    def log_message(self, *_arguments):
        pass


@contextmanager
def serve_helpdesk():
    """Serve a helpdesk without webhooks, and yield its address and its webhooks."""
    webhooks: dict = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Server", (HelpdeskServer,), {"webhooks": webhooks})) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", webhooks
        server.shutdown()


def set_connection(monkeypatch, name: str, **changes: str) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps({**CONNECTIONS[name], **changes}))


def list_choices(fields: tuple[ExtraField, ...]) -> dict[str, set[str]]:
    return {field.name: set(field.choices or ()) for field in fields}


def test_the_page_has_every_part_of_every_example():
    assert {path for path in MODULES if path.startswith("acme_hooks/")} == {
        "acme_hooks/helpdesk.py",
        "acme_hooks/schemes.py",
        "acme_hooks/formats.py",
    }
    assert len(tomllib.loads(PROJECT)["project"]["entry-points"]) == 3
    assert len(CHANGES) == 5
    assert all(f"`{path}`" in PAGE for path in (*SAME_CLASS, *(path for path, _ in CHANGES)))


class TestAnotherPackage:
    def test_its_own_tests_pass(self, folder):
        output = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=folder, path=[folder, REPOSITORY])
        assert "8 passed" in output

    def test_its_rows_are_choices_of_the_connections(self, installed):
        assert "helpdesk" in list_choices(describe_connection_type().extra)["platform"]
        choices = list_choices(SERVICE_HOOK.extra)
        assert "acme" in choices["scheme"] & choices["format"]

    def test_its_platform_registers_lists_and_deletes(self, installed, allow_loopback, variables, monkeypatch):
        with serve_helpdesk() as (url, webhooks):
            set_connection(monkeypatch, "helpdesk", host=url)
            registry = {"task_id": "t", "service_hook_registry_conn_id": "helpdesk", "secret_variable": "hooks"}
            RegisterServiceHookOperator(url=URL, **registry).execute(make_context())
            assert webhooks["w1"]["events"] == ["ticket.opened", "ticket.closed"]
            assert parse_secrets(variables.stored["hooks"]) == ("secret-of-the-platform",)
            assert [hook.hook_id for hook in RegistryHook("helpdesk").list_hooks()] == ["w1"]
            DeleteServiceHookOperator(hook_id="w1", **registry).execute(make_context())
            assert webhooks == {}

    def test_its_scheme_signs_a_delivery_in_its_format(self, installed, allow_loopback, monkeypatch):
        with raw_server(OK) as received:
            set_connection(monkeypatch, "acme", host=received.url)
            record = DeliverEventOperator(
                task_id="t",
                service_hook_conn_id="acme",
                event_type="orders.late",
                event_id="order-7",
                data={"message": "Order 7 is late"},
            ).execute(make_context())
        assert (record["outcome"], record["scheme"]) == ("delivered", "acme")
        head, _, body = received.requests[0].partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        assert json.loads(body) == {"reference": "order-7", "kind": "orders.late", "text": "Order 7 is late"}
        verify("acme", headers=headers, body=body, secrets=[CONNECTIONS["acme"]["password"]])


USE_BUILT_IN = """
import json, os
from airflow_provider_hooks.events import Event
from airflow_provider_hooks.events.formats import encode_event
from airflow_provider_hooks.hooks.registry import RegistryHook
from airflow_provider_hooks.registries.model import HookSpec
from airflow_provider_hooks.sandbox import serve_sandbox
from airflow_provider_hooks.signing import sign
from tests.variables import Variables

event = Event(type="orders.late", id="order-7", occurred_at=None, source="", data={"message": "Order 7 is late"})
encoded = encode_event("orders.late", event, format_name="acme", max_payload_bytes=999)
signed = sign("acme", body=encoded.body, secrets=["a secret"], delivery_id="d-1", timestamp=1_700_000_000)
with serve_sandbox() as sandbox:
    connection = sandbox.describe_connections()["helpdesk_registry"]
    os.environ["AIRFLOW_CONN_HELPDESK"] = json.dumps(connection)
    registry = RegistryHook("helpdesk", store=Variables())
    hook, created = registry.register_hook(HookSpec(url="https://hooks.example.com/airflow"))
    listed = [one.hook_id for one in registry.list_hooks()]
    deleted, gone = registry.delete_hooks([hook.hook_id, "w9"])
    calls = sorted(sandbox.state.platforms["helpdesk"].count_calls())
print(json.dumps({
    "body": json.loads(encoded.body), "signed": sorted(signed), "created": created, "secret": len(hook.secret),
    "listed": listed, "deleted": deleted, "gone": gone, "calls": calls,
}))
"""


class TestBuiltIn:
    def test_platform_scheme_and_format_work(self, built_in, allow_loopback):
        output = run("-c", USE_BUILT_IN, cwd=built_in, path=[built_in])
        assert json.loads(output.splitlines()[-1]) == {
            "body": {"reference": "order-7", "kind": "orders.late", "text": "Order 7 is late"},
            "signed": ["Acme-Signature", "Acme-Timestamp"],
            "created": True,
            "secret": 32,
            "listed": ["w1"],
            "deleted": ["w1"],
            "gone": ["w9"],
            "calls": ["create", "delete", "list"],
        }

    def test_the_tests_that_run_on_every_platform_and_scheme_pass(self, built_in):
        names = ("platform_data", "platforms", "plan", "reconcile")
        tests = [*(f"tests/registries/test_{name}.py" for name in names), "tests/signing/test_signatures.py"]
        output = run("-m", "pytest", "-q", "-k", "helpdesk or acme", *tests, cwd=built_in, path=[built_in])
        assert int(re.search(r"(\d+) passed", output)[1]) > 50

    @pytest.mark.parametrize("arguments", [("check",), ("format", "--check")], ids=["check", "format"])
    def test_its_code_has_the_style_of_the_project(self, built_in, arguments):
        run("-m", "ruff", *arguments, "--no-cache", PACKAGE, "tests/registries", cwd=built_in, path=[])
