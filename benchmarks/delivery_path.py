# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
How straight the code path of one delivery is: what ``sys.setprofile`` sees while an operator delivers one event.

The operator runs against a receiver on loopback, with its imports warm. A call crosses a module border if the nearest
caller inside the package is another module; it runs up the layers if that caller is in a lower layer of the
import-linter contract. ``--list`` prints these calls. The exit status is 1 if a limit is exceeded.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

PACKAGE = "airflow_provider_hooks"
COUNTED = {
    "times the request is signed": (f"{PACKAGE}.signing.hmac_scheme", "sign_request", 1),
    "times the URL is parsed": (f"{PACKAGE}.http.urls", "parse_url", 1),
}
"""What is counted by the calls of one function: its module, its name, and the limit."""
MOST_MODULES, MOST_CROSSINGS, MOST_UPWARD = 20, 80, 6
REPOSITORY = Path(__file__).parent.parent


def run_delivery(url: str, profile: Profile) -> None:
    """Deliver one event to import all that is needed, and another one under the profile."""
    sys.path.insert(0, str(REPOSITORY))
    from airflow.sdk.bases.operator import ExecutorSafeguard  # noqa: PLC0415  (it reads the configuration)

    from airflow_provider_hooks.operators.delivery import DeliverEventAlertOperator  # noqa: PLC0415
    from tests.airflow_context import SECRET, make_context  # noqa: PLC0415

    ExecutorSafeguard.test_mode = True  # outside of a task runner
    os.environ["AIRFLOW_CONN_SERVICE_HOOK_DEFAULT"] = json.dumps(
        {"conn_type": "service_hook", "host": url, "password": SECRET}
    )
    for number in range(2):
        operator = DeliverEventAlertOperator(task_id="a_task", message="An event", triggering_rules=["a rule"])
        context = make_context()
        if number:
            sys.setprofile(profile)
        try:
            record = operator.execute(context)
        finally:
            sys.setprofile(None)
        assert record["outcome"] == "delivered", record


@dataclass
class Profile:
    """
    Counts calls inside the package.

    :param layers: the number of each module's layer, by the name of the module or of a package around it; 0 is the top
    """

    layers: dict[str, int]
    modules: set[str] = field(default_factory=set)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By module and function."""
    crossings: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By calling module and called module and function."""
    upward: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        module = read_module(frame)
        if event != "call" or module is None:
            return
        self.modules.add(module)
        self.calls[module, frame.f_code.co_name] += 1
        caller = find_caller(frame)
        if caller is None or caller == module:
            return
        edge = (caller, f"{module}.{frame.f_code.co_name}")
        self.crossings[edge] += 1
        below, above = self.find_layer(caller), self.find_layer(module)
        if below is not None and above is not None and below > above:
            self.upward[edge] += 1

    def find_layer(self, module: str) -> int | None:
        """Return the number of a module's layer; the package itself has none."""
        name = module
        while name not in self.layers and "." in name:
            name = name.rpartition(".")[0]
        return self.layers.get(name)


def read_module(frame: FrameType) -> str | None:
    """Return the module of a frame, if it is one of the package."""
    name = str(frame.f_globals.get("__name__", ""))
    return name if name == PACKAGE or name.startswith(f"{PACKAGE}.") else None


def find_caller(frame: FrameType) -> str | None:
    """Return the module of the nearest caller inside the package."""
    caller = frame.f_back
    while caller is not None and read_module(caller) is None:
        caller = caller.f_back
    return read_module(caller) if caller is not None else None


def read_layers() -> dict[str, int]:
    """Read the layers of the import-linter contract, from the top down."""
    configuration = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    contracts = configuration["tool"]["importlinter"]["contracts"]
    contract = next(one for one in contracts if one["type"] == "layers")
    return {
        f"{container}.{name.strip(' ()')}": number
        for container in contract["containers"]
        for number, layer in enumerate(contract["layers"])
        for name in re.split("[|:]", layer)
    }


class Handler(BaseHTTPRequestHandler):
    """Answers 204 to each request."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@contextlib.contextmanager
def serve() -> Iterator[str]:
    """Serve on loopback, and return the URL."""
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook"
    finally:
        server.shutdown()
        server.server_close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the calls that cross borders, and the upward ones")
    arguments = parser.parse_args()
    profile = Profile(read_layers())
    with tempfile.TemporaryDirectory() as home, serve() as url:
        os.environ |= {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS": "127.0.0.1",
        }
        run_delivery(url, profile)
    figures = [
        ("modules entered", len(profile.modules), MOST_MODULES),
        ("calls that cross a module border", profile.crossings.total(), MOST_CROSSINGS),
        ("calls that run up the layers", profile.upward.total(), MOST_UPWARD),
        *((name, profile.calls[module, function], limit) for name, (module, function, limit) in COUNTED.items()),
    ]
    for title, edges in (("Across a border", profile.crossings), ("Up the layers", profile.upward)):
        for (caller, called), count in edges.most_common() if arguments.list else ():
            print(f"{title}: {count:>3}  {caller} -> {called}")
    print(f"calls inside the package: {profile.calls.total()}")
    never_called = [name for name, (module, function, _) in COUNTED.items() if not profile.calls[module, function]]
    for name, count, limit in figures:
        verdict = "never called: correct COUNTED" if name in never_called else "ok" if count <= limit else "exceeded"
        print(f"{name}: {count} (limit {limit}): {verdict}")
    return 1 if never_called or any(count > limit for _, count, limit in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
