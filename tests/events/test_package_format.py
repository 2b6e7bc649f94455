# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A format of another package: a process with an installed distribution that has an entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """\
from urllib.parse import urlencode

from airflow_provider_hooks.events.formats import Format, Message


class PushFormat(Format):
    name = "push"
    title = "Push message (push)"
    description = "A message of a push service, whose token is in the body"
    content_type = "application/x-www-form-urlencoded"
    key_use = "required"
    header_names = ("X-Push-Id",)

    def __init__(self, key=""):
        self._key = key

    def bind(self, settings):
        return PushFormat(settings.key)

    def encode(self, event, *, max_payload_bytes):
        fields = {"token": self._key, "title": event.type, "message": event.data["message"]}
        return Message(urlencode(fields).encode(), {"X-Push-Id": event.id})
"""
METADATA = """\
Metadata-Version: 2.1
Name: push-format
Version: 1.0
"""
ENTRY_POINTS = """\
[airflow_provider_hooks.formats]
push = push_format:PushFormat
broken = push_format:urlencode
missing = no_such_module:Format
"""
PROGRAM = """\
import json
from airflow_provider_hooks.connection_form import ConnectionFields
from airflow_provider_hooks.delivery.connection import SERVICE_HOOK
from airflow_provider_hooks.delivery.endpoint import read_endpoint
from airflow_provider_hooks.delivery.request import RequestTemplate, preview_request
from airflow_provider_hooks.events.event import Event
from airflow_provider_hooks.events.formats import encode_event
from airflow_provider_hooks.exceptions import ValidationError

def read(**fields):
    return read_endpoint(
        ConnectionFields(conn_id="c", host="https://push.example/", **fields), default_timeout=1, read_variable={}.get
    )

(field,) = (one for one in SERVICE_HOOK.extra if one.name == "format")
extra = {"scheme": "none", "format": "push"}
endpoint = read(password="a-token-of-the-service", extra=extra)
event = Event(type="orders.late", id="e-1", occurred_at=None, source="", data={"message": "a & b"})
encoded = encode_event("orders.late", event, format_name=None, settings=endpoint.format_settings, max_payload_bytes=99)
template = RequestTemplate(
    endpoint, "orders.late", content_type=encoded.content_type, header_names=encoded.header_names
)
request = template.make_request(template.describe(event.id, encoded.body), encoded.body, headers=encoded.headers)
try:
    read(password=None, extra=extra)
except ValidationError as error:
    refused = str(error)
preview = preview_request(endpoint, request)
print(json.dumps({
    "choices": dict(field.choices),
    "request": request.request.decode(),
    "preview": preview.as_json(),
    "refused": refused,
}))
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> dict:
    """The output of a process that has the distribution on its path."""
    folder: Path = tmp_path_factory.mktemp("site")
    (folder / "push_format.py").write_text(MODULE)
    info = folder / "push_format-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    path = os.pathsep.join([str(folder), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    return {**json.loads(done.stdout), "log": done.stderr}


def test_format_of_a_package_is_a_choice_of_the_connection(output):
    assert output["choices"]["push"] == "Push message (push)"
    assert output["choices"]["slack"] == "Slack message (slack)"


def test_format_makes_the_request_with_the_key_of_the_connection(output):
    head, _, body = output["request"].partition("\r\n\r\n")
    assert body == "token=a-token-of-the-service&title=orders.late&message=a+%26+b"
    assert "\r\nX-Push-Id: e-1" in head
    assert "\r\nContent-Type: application/x-www-form-urlencoded\r\n" in head


def test_key_of_the_format_is_masked_and_required(output):
    assert output["preview"]["body"] == "token=***&title=orders.late&message=a+%26+b"
    assert "the format push needs its key here" in output["refused"]


def test_entry_point_that_is_not_a_format_is_logged_and_ignored(output):
    assert "broken" not in output["choices"]
    assert "missing" not in output["choices"]
    assert "The format broken of push_format:urlencode is ignored: it is not a Format" in output["log"]
    assert "The format missing of no_such_module:Format is ignored: No module named" in output["log"]
