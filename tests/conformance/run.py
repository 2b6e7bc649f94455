# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Checks that libraries of npm for receivers verify and parse real deliveries, and refuse forged ones.

``make test-conformance`` runs it. It needs Node.js 18 or later and npm, and installs the libraries into a temporary
folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    import requests

FOLDER = Path(__file__).parent
PACKAGES = {
    "standardwebhooks": "1.1.1",
    "svix": "2.5.0",
    "@octokit/webhooks": "14.2.0",
    "cloudevents": "10.0.0",
}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"
TEMPLATE = '{"kind": {{ event.type | tojson }}, "data": {{ event.data | tojson }}}'
SIGNED_FORMATS = ("standard_webhooks", "cloudevents", "cloudevents_binary", "raw", "template")
CASES = {
    "standardwebhooks": ("standard_webhooks", SIGNED_FORMATS),
    "svix": ("standard_webhooks", SIGNED_FORMATS),
    "@octokit/webhooks": ("github", SIGNED_FORMATS),
    "cloudevents": ("standard_webhooks", ("cloudevents", "cloudevents_binary")),
}
"""The scheme and the formats of the deliveries that each library gets."""
DATA: dict[str, object] = {
    "orders.loaded": {"orders": 12, "lines": [{"sku": "a", "price": 0.5}], "none": None},
    "orders.text": {"text": 'é \u2028 😀 \\ " </script> \t\n'},
    "orders.numbers": [0, -1, 2**53 - 1, 1e-7, True, False],
    "orders.empty": {},
    "orders.large": {"text": "x" * 100_000, "list": list(range(5_000))},
    "com.example.order-1_A": "a text",
}
"""The data of an event, by its type."""
_SIGNATURES = ("webhook-signature", "x-hub-signature-256")
_SIGNED_HEADERS = ("webhook-id", "webhook-timestamp")

Request = tuple[dict[str, str], bytes]


@dataclass
class Tally:
    """The results of one library."""

    deliveries: int = 0
    verified: int = 0
    forged: int = 0
    refused: int = 0
    problems: list[str] = field(default_factory=list)


@contextlib.contextmanager
def serve_receiver() -> Iterator[str]:
    """Serve the libraries of npm while the block runs; yields the URL."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise SystemExit("node or npm is not installed: apt-get install nodejs npm")
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{name}@{version}" for name, version in PACKAGES.items()]
        options = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--silent"]
        subprocess.run([npm, "install", *options, *names], cwd=folder, check=True)
        shutil.copy(FOLDER / "receiver.mjs", folder)
        process = subprocess.Popen(
            [node, "receiver.mjs"],
            cwd=folder,
            env={**os.environ, "RECEIVER_SECRET": SECRET},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()
            process.wait(timeout=10)


def list_forgeries(headers: dict[str, str], body: bytes, *, library: str, other: dict[str, str]) -> Iterator[Request]:
    """
    Yield requests that differ from a delivery in one place.

    :param other: the headers of the same delivery, signed with another secret
    """
    # This library parses events and verifies nothing: it must refuse what is not a CloudEvent. It makes a missing id.
    if library == "cloudevents":
        if "ce-id" in headers:
            for name in ("ce-source", "ce-type"):
                yield {key: value for key, value in headers.items() if key != name}, body
        else:
            event = json.loads(body)
            for name in ("source", "type"):
                yield headers, json.dumps({key: value for key, value in event.items() if key != name}).encode()
            yield headers, body[:-1]
        return
    signature = next(name for name in _SIGNATURES if name in headers)
    yield headers, body + b" "
    yield headers, body[:-1]
    yield headers, b""
    yield {**headers, signature: other[signature]}, body
    yield {name: value for name, value in headers.items() if name != signature}, body
    yield {**headers, signature: headers[signature][:-2] + "=="}, body
    for name in _SIGNED_HEADERS:
        if name in headers:
            yield {**headers, name: headers[name] + "1"}, body
            yield {key: value for key, value in headers.items() if key != name}, body
    if "webhook-timestamp" in headers:
        yield {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 600)}, body


def main() -> int:
    """Print a table of what each library verified and refused; the exit status is 1 if any result is wrong."""
    with tempfile.TemporaryDirectory() as home, serve_receiver() as url:
        os.environ |= {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "AIRFLOW__SERVICE_HOOKS__ALLOWED_NETWORKS": "127.0.0.1",
        }
        tallies = {library: check_library(library, url) for library in CASES}
    lines = [
        f"| {'verifier':<26} | deliveries | verified | forged | refused |",
        f"| {'-' * 26} | ---------- | -------- | ------ | ------- |",
    ]
    for library, tally in tallies.items():
        name = f"{library} {PACKAGES[library]}"
        counts = f"{tally.deliveries:>10} | {tally.verified:>8} | {tally.forged:>6} | {tally.refused:>7}"
        lines.append(f"| {name:<26} | {counts} |")
    problems = [problem for tally in tallies.values() for problem in tally.problems]
    sys.stdout.write("\n".join([*lines, *problems]) + "\n")
    return 1 if problems else 0


def check_library(library: str, url: str) -> Tally:
    """Deliver every event in every format to one library, and forgeries of each."""
    import requests  # noqa: PLC0415  (after the settings of Airflow)

    from airflow_provider_hooks.events.event import Event  # noqa: PLC0415
    from airflow_provider_hooks.hooks.endpoint import EndpointHook  # noqa: PLC0415

    tally = Tally()
    scheme, formats = CASES[library]
    target = f"{url}/{quote(library, safe='')}"
    for name in formats:
        extra = {"scheme": scheme, "format": name, **({"template": TEMPLATE} if name == "template" else {})}
        for conn_id, secret in (("receiver", SECRET), ("forger", OTHER_SECRET)):
            connection = {"conn_type": "service_hook", "host": target, "password": secret, "extra": extra}
            os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection)
        for number, (event_type, data) in enumerate(DATA.items()):
            event = Event(
                type=event_type,
                id=f"event-{number}",
                occurred_at="2026-01-01T12:00:00.000Z",
                source="https://airflow.example.com/dags/orders",
                data=data,
            )
            place = f"{library}, {name}, {event_type}"
            tally.deliveries += 1
            attempt = EndpointHook("receiver").deliver_now(event_type, event).record.attempt
            if attempt.status_code == 200:
                tally.verified += 1
            else:
                tally.problems.append(f"{place}: a delivery was refused: {attempt.response_body}")
            preview = EndpointHook("receiver").preview(event_type, event)
            headers = {key.lower(): value for key, value in preview.headers.items()}
            unsigned = {"host", "content-length", "user-agent"}
            headers = {key: value for key, value in headers.items() if key not in unsigned}
            response = requests.post(target, preview.body, headers=headers, timeout=10)
            wanted = {"type": event.type, "id": event.id, "time": event.occurred_at, "source": event.source}
            check_content(tally, place, response, data, wanted if library == "cloudevents" else {})
            forger = EndpointHook("forger").preview(event_type, event).headers
            other = {key.lower(): value for key, value in forger.items()}
            for forged, body in list_forgeries(headers, preview.body, library=library, other=other):
                tally.forged += 1
                response = requests.post(target, body, headers=forged, timeout=10)
                if response.status_code == 401:
                    tally.refused += 1
                else:
                    tally.problems.append(f"{place}: a forgery was accepted: {forged} {body[:200]!r}")
    return tally


def check_content(
    tally: Tally, place: str, response: requests.Response, data: object, attributes: Mapping[str, object]
) -> None:
    """Compare what a library parsed with the data of the event and its attributes."""
    content = response.json() if response.status_code == 200 else response.text
    parsed = content.get("data", content) if isinstance(content, dict) else content
    if parsed != data or not attributes.items() <= (content.items() if isinstance(content, dict) else set()):
        tally.problems.append(f"{place}: it parsed {str(content)[:200]}")


if __name__ == "__main__":
    sys.exit(main())
