# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The programs of the receiver guide, each run as a reader runs it, and the requests that they must accept or refuse.

Those that are accepted were signed by this package now; each that is refused differs from such a request in one place.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_provider_hooks.signing import SCHEMES, sign
from tests.servers import find_free_port

REPOSITORY = Path(__file__).parent.parent.parent
PAGE = REPOSITORY / "docs" / "receivers" / "verify.md"
REQUESTS_PAGE = REPOSITORY / "docs" / "receivers" / "index.md"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECOND_SECRET = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"
OTHER_SECRET = "whsec_" + "QUJD" * 8
DELIVERY_ID = "5cc3dd21-4a3e-5a05-8cf5-6ee6bd5dbd13"
BODY = '{"type":"orders.loaded","data":{"orders":12,"text":"é 😀"}}'.encode()
GUIDE_SCHEMES = ("standard_webhooks", "sentry")
"""The schemes that the programs verify."""
ACCEPTED_STATUS, REFUSED_STATUS = 204, 401

_PROGRAM = re.compile(r"as\s+`(receiver[\w.]*)`:\n\n```\w+\n(.*?)```", re.DOTALL)
_REQUEST = re.compile(r"<!-- request: (\w+) -->\n```http\n(.*?)\n```", re.DOTALL)
_START_SECONDS, _BUILD_SECONDS, _REQUEST_SECONDS = 30, 300, 10
_TOOLS = {".mjs": "node", ".go": "go", ".rb": "ruby"}

Headers = dict[str, str]


@dataclass(frozen=True)
class Request:
    """A request to a program."""

    headers: Headers
    body: bytes


@dataclass(frozen=True)
class Receiver:
    """A running program."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/airflow"

    def send(self, request: Request) -> int:
        """Return the status of the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_REQUEST_SECONDS)
        with contextlib.closing(connection):
            connection.request("POST", "/airflow", body=request.body, headers=request.headers)
            return connection.getresponse().status

    def send_all(self, requests: Mapping[str, Request]) -> dict[str, int]:
        return {name: self.send(request) for name, request in requests.items()}


def read_programs() -> dict[str, str]:
    """Return the source of each program by the name of its file."""
    return dict(_PROGRAM.findall(PAGE.read_text()))


def read_shown_requests() -> dict[str, Request]:
    """Return the requests that the guide shows, by scheme."""
    shown = {}
    for scheme, text in _REQUEST.findall(REQUESTS_PAGE.read_text()):
        head, _, body = text.partition("\n\n")
        pairs = [line.split(": ", 1) for line in head.splitlines()[1:]]
        shown[scheme] = Request({name: value for name, value in pairs if name != "Host"}, body.encode())
    return shown


@contextlib.contextmanager
def serve_program(name: str, scheme: str, folder: Path) -> Iterator[Receiver]:
    """Save a program in a folder and run it while the block runs; two secrets are valid."""
    (folder / name).write_text(read_programs()[name])
    port, log = find_free_port(), folder / "log"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PORT": str(port),
        "WEBHOOK_SCHEME": scheme,
        "WEBHOOK_SECRETS": f"{SECRET} {SECOND_SECRET}",
        "PYTHONPATH": str(REPOSITORY),
    }
    command = _make_command(name, folder, environment)
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_for_port(port, process, log)
        yield Receiver(port, log)
    finally:
        process.kill()
        process.wait()


def _make_command(name: str, folder: Path, environment: Mapping[str, str]) -> list[str]:
    """Return the command that runs a program; without ``site`` Python finds no installed package."""
    suffix = Path(name).suffix
    if suffix == ".py":
        isolated = [] if "package" in name else ["-I"]
        return [sys.executable, "-S", *isolated, name]
    tool = shutil.which(_TOOLS[suffix])
    if tool is None:
        pytest.fail(f"{_TOOLS[suffix]} is not installed: 'make test-receivers' installs it from Debian")
    if suffix == ".go":
        built = {**environment, "CGO_ENABLED": "0", "GOCACHE": str(folder.parent / "go-cache"), "GOTOOLCHAIN": "local"}
        subprocess.run(
            [tool, "build", "-o", "receiver", name], cwd=folder, env=built, check=True, timeout=_BUILD_SECONDS
        )
        return [str(folder / "receiver")]
    if suffix == ".rb":
        return [tool, str(Path(__file__).parent / "rack_server.rb"), name]
    return [tool, name]


def _wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, f"nothing listens: {log.read_text()}"
        time.sleep(0.05)


def sign_request(
    scheme: str,
    *,
    body: bytes = BODY,
    secrets: tuple[str, ...] = (SECRET,),
    age: int = 0,
    delivery_id: str = DELIVERY_ID,
) -> Request:
    """
    Return a signed request.

    :param age: how many seconds ago it was signed
    """
    timestamp = int(time.time()) - age
    signature = sign(scheme, body=body, secrets=secrets, delivery_id=DELIVERY_ID, timestamp=timestamp)
    headers = {"X-Service-Hook-Event": "orders.loaded", "X-Service-Hook-Delivery": DELIVERY_ID}
    return Request({"Content-Type": "application/json", **headers, **signature}, body)


def list_accepted(scheme: str) -> dict[str, Request]:
    """Return requests that a receiver with the first two secrets must accept."""
    signed = sign_request(scheme)
    lower = {name.lower(): value for name, value in signed.headers.items()}
    requests = {
        "signed": signed,
        "signed with the second secret": sign_request(scheme, secrets=(SECOND_SECRET,)),
        "an empty body": sign_request(scheme, body=b""),
        "a body of all bytes": sign_request(scheme, body=bytes(range(256))),
        "names of headers in lower case": Request(lower, BODY),
    }
    if scheme == "sentry":
        return {**requests, "the request of the guide": read_shown_requests()[scheme]}
    several = sign_request(scheme, secrets=(OTHER_SECRET, SECRET))
    assert " " in several.headers["webhook-signature"]
    later = f"v2,unknown v1a,unknown {signed.headers['webhook-signature']}"
    return {
        **requests,
        "two signatures, the second known": several,
        "signatures of other versions before it": change(signed, "webhook-signature", later),
        "290 s old": sign_request(scheme, age=290),
        "290 s in the future": sign_request(scheme, age=-290),
    }


def list_refused(scheme: str) -> dict[str, Request]:
    """Return requests that a receiver must refuse, each different from a signed one in one place."""
    signed = sign_request(scheme)
    name = SCHEMES[scheme].signature_header or ""
    signature = signed.headers[name]
    other_scheme = "sentry" if scheme == "standard_webhooks" else "standard_webhooks"
    changed = signature[:-2] + ("A" if signature[-2] != "A" else "B") + signature[-1]
    requests = {
        "signed with another secret": sign_request(scheme, secrets=(OTHER_SECRET,)),
        "another body": Request(signed.headers, BODY.replace(b"12", b"13")),
        "a blank after the body": Request(signed.headers, BODY + b" "),
        "a shorter body": Request(signed.headers, BODY[:-1]),
        "no body": Request(signed.headers, b""),
        "no signature": change(signed, name, None),
        "an empty signature": change(signed, name, ""),
        "a signature that is cut": change(signed, name, signature[:-1]),
        "a changed signature": change(signed, name, changed),
        "the signature of another scheme": sign_request(other_scheme),
    }
    if scheme == "sentry":
        return {
            **requests,
            "a prefix of the signature": change(signed, name, f"sha256={signature}"),
            "signed with the decoded secret": sign_with_format(scheme, "whsec"),
        }
    timestamp = signed.headers["webhook-timestamp"]
    moved = sign_request(scheme, body=f"{timestamp}.x".encode())
    moved_id = f"{DELIVERY_ID}.{moved.headers['webhook-timestamp']}"
    return {
        **requests,
        "no version of the signature": change(signed, name, signature.removeprefix("v1,")),
        "another version of the signature": change(signed, name, signature.replace("v1,", "v1a,")),
        "signed with the characters of the secret": sign_with_format(scheme, "text"),
        "another id": change(signed, "webhook-id", DELIVERY_ID.replace("5", "6")),
        "no id": change(signed, "webhook-id", None),
        "the time moved into the id": Request({**moved.headers, "webhook-id": moved_id}, b"x"),
        "another time": change(signed, "webhook-timestamp", str(int(timestamp) - 1)),
        "no time": change(signed, "webhook-timestamp", None),
        "a time with a sign": change(signed, "webhook-timestamp", f"+{timestamp}"),
        "a time with a fraction": change(signed, "webhook-timestamp", f"{timestamp}.0"),
        "a time that is too long": change(signed, "webhook-timestamp", "9" * 400),
        "310 s old": sign_request(scheme, age=310),
        "310 s in the future": sign_request(scheme, age=-310),
        "the request of the guide, which is old": read_shown_requests()[scheme],
    }


def change(request: Request, name: str, value: str | None) -> Request:
    """Return a request with another value of a header, or without it."""
    headers = {key: text for key, text in request.headers.items() if key != name}
    return Request(headers if value is None else {**headers, name: value}, request.body)


def sign_with_format(scheme: str, key_format: str) -> Request:
    """Return a request whose key was read from the secret in another way."""
    other = SCHEMES[scheme].with_key_format(key_format)
    signature = sign(other, body=BODY, secrets=[SECRET], delivery_id=DELIVERY_ID, timestamp=int(time.time()))
    return Request({**sign_request(scheme).headers, **signature}, BODY)
