# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The template of a connection: its result, its limits, and errors that quote no value of an event."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings

from airflow_provider_hooks._runtime.compat import AirflowFailException
from airflow_provider_hooks.connection_form import ConnectionFields
from airflow_provider_hooks.delivery.endpoint import read_endpoint
from airflow_provider_hooks.events import template_rendering
from airflow_provider_hooks.events.event import Event
from airflow_provider_hooks.events.format_base import FormatSettings
from airflow_provider_hooks.events.formats import encode_event
from airflow_provider_hooks.exceptions import PayloadError, ValidationError
from airflow_provider_hooks.hooks.endpoint import EndpointHook
from airflow_provider_hooks.operators.delivery import DeliverEventOperator, DeliverEventStreamOperator
from airflow_provider_hooks.signing import verify
from tests.airflow_context import SECRET, StateStore, make_context
from tests.security.properties_data import json_values
from tests.servers import OK, raw_server

relaxed = settings(max_examples=150, deadline=None, derandomize=True)
VALUE = "a-value-of-the-event"


def encode(template: str, data: object = None, *, content_type: str = "application/json", size: int = 10_000, key=None):
    event = Event(
        type="orders.loaded", id="e-1", occurred_at="2026-01-01T12:00:00.000Z", source="https://a/", data=data
    )
    used = FormatSettings(name="template", template=template, content_type=content_type, key=key)
    return encode_event("orders.loaded", event, format_name=None, settings=used, max_payload_bytes=size)


def text(template: str, data: object = None, **options) -> str:
    return encode(template, data, content_type="text/plain", **options).body.decode()


def find_problems(template: str, data: object = None, **options) -> dict[str, str]:
    with pytest.raises(PayloadError) as caught:
        encode(template, data, **options)
    assert VALUE not in str(caught.value)
    return caught.value.problems


def test_template_renders_the_event_as_json():
    template = """{
      "text": {{ ("Loaded " ~ event.data.orders ~ " orders") | tojson }},
      "lines": [{% for line in event.data.lines %}{{ line.sku | tojson }}{{ ", " if not loop.last }}{% endfor %}],
      "of": {{ [event.type, event.id, event.time, event.source] | tojson }}
    }"""
    encoded = encode(template, {"orders": 12, "lines": [{"sku": "ä<\"'"}, {"sku": "b"}]})
    assert (encoded.id, encoded.content_type, dict(encoded.headers)) == ("e-1", "application/json", {})
    assert json.loads(encoded.body) == {
        "text": "Loaded 12 orders",
        "lines": ["ä<\"'", "b"],
        "of": ["orders.loaded", "e-1", "2026-01-01T12:00:00.000Z", "https://a/"],
    }


@pytest.mark.parametrize(
    ("template", "made"),
    [
        ("{{ event.data.a | upper }}", "X Y"),
        ("{{ event.data['items'] | join('-') }}", "1-2"),
        ("{{ event.data.a.split(' ')[1] }}", "y"),
        ("{% for name, value in event.data | dictsort %}{{ name }}={{ value }};{% endfor %}", "a=x y;items=[1, 2];"),
        ("{{ event.data.missing | default('none') }}", "none"),
        ("text={{ event.data.a | urlencode }}", "text=x%20y"),
        ("{{ 2 * 3 }} {{ 7 % 4 }} {{ 2.26 | round(1) }}", "6 3 2.3"),
        ("{% macro bold(x) %}*{{ x }}*{% endmacro %}{{ bold(event.id) }}", "*e-1*"),
        ("{% set x = event.id %}{% if x == 'e-1' %}yes{% endif %}", "yes"),
    ],
)
def test_templates_support_filters_loops_and_macros(template, made):
    assert text(template, {"a": "x y", "items": [1, 2]}) == made


@relaxed
@given(json_values)
def test_tojson_renders_any_data_as_json(data):
    try:
        body = encode("{{ event.data | tojson }}", data).body
    except ValidationError:
        return
    assert json.loads(body) == data


@pytest.mark.parametrize("value", ["{{ 7 * 7 }}", "{% raw %}", "{{ event }}", "#}{{ key }}"])
def test_values_of_an_event_are_not_rendered_as_templates(value):
    assert text("{{ event.data }}{{ [event.data] | first }}", value) == value * 2


@pytest.mark.parametrize(
    ("template", "place", "problem"),
    [
        ("{\n{{ event.data.nope }}}", "line 2", "nope is not defined"),
        ("\n\n{{ nope }}", "line 3", "nope is not defined"),
        ("{{ event.data[event.data.a] }}", "line 1", "uses a value that is not defined"),
        ("{{ event.data[''] }}", "line 1", "uses a value that is not defined"),
        ("{{ nope | tojson }}", "line 1", "nope is not defined"),
        ("{{ event.data.a + 1 }}", "line 1", "TypeError"),
        ("{{ event.data.list | sum }}", "line 1", "TypeError"),
        ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "line 1", "RecursionError"),
        ("\n{% include event.data.a %}", "line 2", "TypeError"),
        ('{"a":\n {{ event.data.a }}}', "line 2, column 2 of its result", "is not JSON"),
        ("", "line 1, column 1 of its result", "is not JSON"),
        ("{{ event.data.a | tojson }}{{ event.data.a }}", "line 1, column 23 of its result", "is not JSON"),
        ("{{ event.__class__ }}", "line 1", "cannot use"),
        ("{{ event.data.a.__class__.__mro__ }}", "line 1", "cannot use"),
        ("{{ event['__class__'] }}", "line 1", "cannot use"),
        ("{{ event.data.list.append(1) }}", "line 1", "cannot use"),
        ("{{ event.update({'id': 1}) }}", "line 1", "cannot use"),
        ("{{ event.data.a.format(1) }}", "line 1", "cannot use"),
        ("{{ event.data.a.ljust(1000000000) }}", "line 1", "cannot use"),
        ("{{ (1).to_bytes(1000000000) }}", "line 1", "cannot use"),
        ("{{ 'x' * 1000000000 }}", "line 1", "cannot use"),
        ("{{ '%1000000000d' % 1 }}", "line 1", "cannot use"),
        ("{{ 9 ** 9 ** 9 }}", "line 1", "cannot use"),
        ("{{ range(10) }}", "line 1", "range is not defined"),
        ("{{ namespace() }}", "line 1", "namespace is not defined"),
        ("{{ event.data.list.__init__.__globals__ }}", "line 1", "cannot use"),
    ],
)
def test_failing_template_is_reported_with_its_line(template, place, problem):
    found = find_problems(template, {"a": VALUE, "list": [1, VALUE]})
    assert list(found) == [place]
    assert problem in found[place]


def test_filters_that_pad_text_are_unavailable():
    for name in ("center", "indent", "format", "wordwrap", "xmlattr", "attr", "batch", "pprint", "random"):
        with pytest.raises(ValidationError, match=rf"extra\.template: line 2: No filter named '{name}'"):
            read(f"1\n{{{{ event.id | {name} }}}}")


def test_result_over_the_limit_is_refused_before_it_is_complete():
    template = "{% for a in event.data %}{% for b in event.data %}{{ event.data }}{% endfor %}{% endfor %}"
    started = time.monotonic()
    assert find_problems(template, list(range(2_000))) == {"its result": "has over max_payload_bytes=10000 bytes"}
    assert time.monotonic() - started < 1
    assert "over max_payload_bytes=10000" in find_problems("1", ["x" * 10_000])["data"]


def test_a_template_that_takes_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(template_rendering, "MAX_SECONDS", 0.05)
    template = "{% for a in event.data %}{% for b in event.data %}{{ a if a < 0 else '' }}{% endfor %}{% endfor %}"
    started = time.monotonic()
    assert find_problems(template, list(range(2_000))) == {"its result": "was not complete after 0.05 s"}
    assert time.monotonic() - started < 2


def test_text_that_is_not_utf8_is_refused():
    assert list(find_problems('{{ "\\ud800" }}', content_type="text/plain")) == ["line 1"]


def test_key_of_the_connection_is_available_in_the_template():
    assert json.loads(encode('{"token": {{ key | tojson }}}', key="k" * 20).body) == {"token": "k" * 20}
    assert find_problems('{"token": {{ key | tojson }}}') == {"line 1": "key is not defined"}


def test_template_can_only_be_set_in_a_connection():
    event = Event(type="a", id="b", occurred_at=None, source="", data=None)
    with pytest.raises(ValidationError, match="template must be set in the connection, which holds its template"):
        encode_event("a", event, format_name="template", max_payload_bytes=100)


def test_jinja_is_imported_only_for_a_template():
    code = (
        "import sys; from airflow_provider_hooks.delivery.connection import SERVICE_HOOK;"
        "import airflow_provider_hooks.delivery.endpoint;"
        "[list(one.choices.items()) for one in SERVICE_HOOK.extra if one.choices]; print('jinja2' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


# Connections


def read(template: str | None, *, password: str | None = SECRET, **extra):
    named = {"scheme": "standard_webhooks", "format": "template", "template": template, **extra}
    fields = ConnectionFields(conn_id="c", host="https://h.example/", password=password, extra=named)
    return read_endpoint(fields, default_timeout=1, read_variable=lambda _name: None)


def test_connection_sets_a_template_and_its_content_type():
    used = read("{{ event.id }}", template_content_type="text/plain; charset=utf-8").format_settings
    assert (used.template, used.content_type, used.key) == ("{{ event.id }}", "text/plain; charset=utf-8", None)
    assert read("1", password="k" * 16, scheme="none").format_settings.key == "k" * 16
    assert read("1", password=None, scheme="none").format_settings.key is None


@pytest.mark.parametrize(
    ("template", "extra", "name", "problem"),
    [
        (None, {}, "extra.template", "is empty"),
        ("{{ event.id }", {}, "extra.template", "line 1: unexpected '}'"),
        ("1\n{% nope %}", {}, "extra.template", "line 2: Encountered unknown tag 'nope'"),
        ("x" * 70_000, {}, "extra.template", "has over 65536 characters"),
        ("{{ event.id }}", {"format": "raw"}, "extra.template", "is used with the format template only"),
        ("1", {"template_content_type": "json"}, "extra.template_content_type", "must be a media type"),
        ("1", {"template_content_type": "a/b\r\nX-A: b"}, "extra.template_content_type", "must be a media type"),
        (None, {"format": None, "template_content_type": "a/b"}, "extra.template_content_type", "is used with"),
        ("1", {"scheme": "none", "secret_variable": "v"}, "password", "secret_variable is set too"),
    ],
)
def test_invalid_template_is_refused_with_its_field(template, extra, name, problem):
    with pytest.raises(ValidationError) as caught:
        read(template, **extra)
    assert problem in caught.value.problems[name]


def test_result_of_the_template_is_signed_and_sent(connect, tmp_path):
    template = '{"n": {{ event.data.n | tojson }}}'
    with raw_server(OK) as receiver:
        connect(receiver.url, scheme="standard_webhooks", format="template", template=template)
        DeliverEventOperator(task_id="t", event_type="orders.loaded", data={"n": 1}).execute(make_context())
        task = DeliverEventStreamOperator(
            task_id="t",
            events=[{"id": "a", "n": 2}, {"id": "b"}],
            event_type="orders.loaded",
            records_path=str(tmp_path),
            on_invalid="skip",
        )
        assert task.execute(make_context(StateStore()))["delivered"] == 1
        with pytest.raises(AirflowFailException, match=r"the template: line 1: n is not defined"):
            DeliverEventOperator(task_id="t", event_type="orders.loaded", data={}).execute(make_context())
    bodies = []
    for request in receiver.requests:
        head, _, body = request.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        verify("standard_webhooks", headers=headers, body=body, secrets=[SECRET])
        assert headers["Content-Type"] == "application/json"
        bodies.append(json.loads(body))
    assert bodies == [{"n": 1}, {"n": 2}]


def test_key_is_masked_in_a_preview(connect):
    connect(
        "http://127.0.0.1:1/", scheme="none", format="template", template='{"a": {{ key | tojson }}}', password="k" * 16
    )
    event = Event(type="a", id="b", occurred_at=None, source="", data=None)
    preview = EndpointHook().preview("a", event)
    assert preview.as_json()["body"] == '{"a": "***"}'
    assert b"k" * 16 not in preview.as_message()
