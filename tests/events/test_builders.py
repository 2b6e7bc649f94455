# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import datetime as dt
import enum
import importlib
import json
import uuid

import pendulum
import pytest

from airflow_provider_hooks.events import build_event_alert, build_event_created, event_from_exception
from airflow_provider_hooks.events.serialization import serialize
from airflow_provider_hooks.exceptions import ValidationError
from tests.events_data import ALERT, CREATED, FIELDS

NOON = dt.datetime(2024, 1, 1, 12, 0, tzinfo=dt.timezone.utc)
MIDNIGHT = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)


def test_created_event_from_arguments_is_the_documented_payload():
    built = build_event_created(
        id="abc123def456",
        project="my-project",
        project_id=1,
        project_name="My Project",
        culprit="app.views.index in get",
        message="TypeError: Cannot read property 'foo' of undefined",
        url="https://sentry.io/organizations/my-org/issues/12345/",
        datetime=NOON,
        timestamp=MIDNIGHT,  # the documented example has two different times
        tags={"environment": "production", "release": "1.0.0"},
        exception=CREATED["event"]["exception"],
    )
    assert built == CREATED
    assert list(built) == list(CREATED)
    assert list(built["event"]) == list(CREATED["event"])


def test_documented_payload_is_unchanged():
    assert build_event_created(CREATED) == CREATED
    assert build_event_alert(ALERT) == ALERT


def test_alert_event_from_arguments_is_the_documented_payload():
    built = build_event_alert(
        **{name: value for name, value in ALERT.items() if name != "triggering_rules"}, triggering_rules=["Rule Name"]
    )
    assert built == ALERT
    assert list(built) == list(ALERT)


def test_an_alert_is_built_from_a_created_payload():
    assert build_event_alert(CREATED, triggering_rules=["Rule Name"]) == ALERT


def test_arguments_override_the_source():
    built = build_event_created(CREATED, message="Changed", datetime="2025-06-01T00:00:00+02:00")
    assert built["message"] == built["event"]["message"] == "Changed"
    assert built["datetime"] == "2025-05-31T22:00:00.000Z"
    assert built["event"]["timestamp"] == dt.datetime(2025, 5, 31, 22, tzinfo=dt.timezone.utc).timestamp()


def test_omitted_fields_have_the_documented_defaults():
    built = build_event_created(FIELDS, timestamp=1704110400.5)
    assert (built["culprit"], built["logger"], built["level"]) == ("", "", "error")
    assert built["datetime"] == "2024-01-01T12:00:00.500Z"
    assert built["event"] == {
        "event_id": "abc123def456",
        "message": "It broke",
        "level": "error",
        "platform": "python",
        "timestamp": 1704110400.5,
        "tags": [],
        "exception": {"values": []},
    }


def test_only_documented_fields_of_a_sentry_sdk_event_are_used():
    event = {
        "event_id": "0f" * 16,
        "timestamp": "2024-01-01T12:00:00.000000Z",
        "platform": "python",
        "level": "warning",
        "logger": "app",
        "environment": "production",
        "release": "1.0.0",
        "tags": {"team": "orders"},
        "server_name": "host-1",
        "user": {"email": "a@example.com"},
        "breadcrumbs": {"values": []},
        "exception": {
            "values": [
                {"type": "KeyError", "value": "'a'", "stacktrace": None},
                {
                    "type": "ValueError",
                    "value": "bad",
                    "module": "app",
                    "mechanism": {"type": "generic"},
                    "stacktrace": {
                        "frames": [
                            {"module": "app.views", "function": "get", "in_app": True, "lineno": 1},
                            {"module": "lib", "function": "parse", "lineno": 2},
                        ]
                    },
                },
            ]
        },
    }
    built = build_event_created(event, project="p", project_id="1", project_name="P", url="https://example.com/")
    assert built["id"] == "0f" * 16
    assert (built["message"], built["culprit"], built["level"]) == ("ValueError: bad", "app.views in get", "warning")
    assert built["event"]["tags"] == [["team", "orders"], ["environment", "production"], ["release", "1.0.0"]]
    first, second = built["event"]["exception"]["values"]
    assert first == {"type": "KeyError", "value": "'a'", "stacktrace": {"frames": []}}
    assert second["stacktrace"]["frames"][0]["lineno"] == 1
    assert set(second) == {"type", "value", "stacktrace"}
    assert build_event_alert(built, triggering_rules=["r"])["message"] == "ValueError: bad"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"logentry": {"message": "raw %s", "formatted": "raw x"}}, "raw x"),
        ({"logentry": {"message": "raw"}}, "raw"),
        ({"message": "said"}, "said"),
    ],
)
def test_a_message_event_of_sentry_sdk_keeps_its_message(source, message):
    event = {"event_id": "1" * 32, "timestamp": NOON, **source}
    fields = {name: value for name, value in FIELDS.items() if name not in {"id", "message"}}
    assert build_event_created(event, **fields)["message"] == message


def test_level_critical_of_sentry_sdk_becomes_fatal():
    event = {"event_id": "1" * 32, "timestamp": NOON, "level": "critical", "message": "x"}
    fields = {name: value for name, value in FIELDS.items() if name not in {"id", "message"}}
    assert build_event_created(event, **fields)["level"] == "fatal"


def test_all_missing_fields_are_named_in_one_error():
    with pytest.raises(ValidationError) as caught:
        build_event_created()
    assert set(caught.value.problems) == {
        "id", "project", "project_id", "project_name", "message", "url", "datetime",
    }  # fmt: skip
    with pytest.raises(ValidationError) as caught:
        build_event_alert({"level": "error"})
    assert set(caught.value.problems) == {
        "id", "project", "project_id", "project_name", "message", "url", "triggering_rules",
    }  # fmt: skip


FRAMES_OF_TEXT = {"values": [{"stacktrace": {"frames": "x"}}]}
FRAMES_OF_NUMBERS = {"values": [{"stacktrace": {"frames": [1]}}]}
WRONG = {
    "id": ["", "a b", "a.b", "x" * 65, 1.5, [7], "é"],
    "project": ["", "  ", [7], 10**64],
    "project_id": ["", {}, float("nan")],
    "message": ["", b"bytes", ["x"], float("inf")],
    "url": ["", "example.com", "ftp://example.com/", "http://", "https://exa mple.com/", "https://[::1", 7],
    "level": ["ERROR", "panic", 1],
    "culprit": [[7]],
    "logger": [{}],
    "datetime": [
        dt.datetime(2024, 1, 1),  # noqa: DTZ001  (the tested value)
        "2024-01-01T12:00:00",
        "soon",
        "now",
        "",
        float("nan"),
        float("inf"),
        1e300,
        True,
        dt.date(2024, 1, 1),
        [],
    ],
    "tags": ["ab", ["ab"], [["a"]], [["a", [1]]], {"a": None}, {1: "a"}, 7],
    "exception": [
        "x",
        {"values": "x"},
        {"values": [7]},
        {"values": [{"stacktrace": {"frames": "x"}}]},
        7,
        {"values": [{"stacktrace": {"frames": [1]}}]},
    ],
    "platform": ["", [7]],
}


class Text(str):
    """A subclass of ``str``, like SQLAlchemy's ``quoted_name`` and ``markupsafe.Markup``."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another text"


class Kind(str, enum.Enum):
    LATE = "late"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (Text("late"), "late"),
        (Kind.LATE, "late"),
        (1001, "1001"),
        (404.5, "404.5"),
        (True, "True"),
        (10**30, str(10**30)),
    ],
)
@pytest.mark.parametrize("name", ["message", "project", "project_id", "culprit", "logger", "platform"])
def test_subclasses_of_str_and_numbers_become_text(name, given, text):
    payload = build_event_created({**FIELDS, "datetime": NOON, name: given, "tags": {"a": given}})
    found = payload["event"]["platform"] if name == "platform" else payload[name]
    assert (found, payload["event"]["tags"]) == (text, [["a", text]])
    assert json.loads(serialize(payload)) == payload
    assert build_event_alert(FIELDS, triggering_rules=(one for one in [given]))["triggering_rules"] == [text]


def test_invalid_tag_is_named():
    with pytest.raises(ValidationError, match="the tag 'rows' must be text, a number, true or false, not a list"):
        build_event_created(FIELDS, datetime=NOON, tags={"kind": "a", "rows": [1]})


@pytest.mark.parametrize("text", ["09:00/17:30", "2024-01-01/P1D", "09:00", "2024-01-01/17:30", "P1D", "/"])
def test_interval_is_refused_as_a_time(text):
    with pytest.raises(ValidationError, match="datetime: must be a time"):
        build_event_created(FIELDS, datetime=text)


def test_event_of_a_recursion_error_can_be_serialized():
    def recurse(number):
        return recurse(number + 1)  # a line of a common length, so that the frames have a realistic size

    try:
        recurse(0)
    except RecursionError as error:
        event = event_from_exception(error)
    payload = build_event_created(event, **{name: value for name, value in FIELDS.items() if name != "id"})
    assert len(payload["event"]["exception"]["values"][0]["stacktrace"]["frames"]) == 50
    assert len(serialize(payload)) < 200_000


def test_file_name_that_is_not_utf8_can_be_serialized():
    scope: dict[str, object] = {}
    exec(compile("def fail(): raise ValueError('x')", "caf\udce9.py", "exec"), scope)  # noqa: S102  (a file's name)
    try:
        scope["fail"]()
    except ValueError as error:
        event = event_from_exception(error)
    payload = build_event_created(event, **{name: value for name, value in FIELDS.items() if name != "id"})
    assert rb"caf\\udce9.py" in serialize(payload)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_invalid_field_is_named(name, value):
    fields = {**FIELDS, "datetime": NOON, name: value}
    with pytest.raises(ValidationError) as caught:
        build_event_created(fields)
    assert name in caught.value.problems
    assert set(caught.value.problems) == {name}


@pytest.mark.parametrize("rules", [[], "rule", [""], [None], None, {"a": 1}, iter([]), b"rule"])
def test_alert_requires_the_name_of_a_rule(rules):
    with pytest.raises(ValidationError, match="triggering_rules"):
        build_event_alert(FIELDS, triggering_rules=rules)


def test_undocumented_field_is_named():
    with pytest.raises(ValidationError, match=r"projekt: is not a documented field of event\.created"):
        build_event_created({**FIELDS, "datetime": NOON, "projekt": "x"})


@pytest.mark.parametrize("value", [uuid.UUID(int=7), "orders-2024010112", "A_b-9"])
def test_uuids_and_readable_ids_are_accepted(value):
    assert build_event_alert(FIELDS, id=value, triggering_rules=["r"])["id"] in {value, "0" * 31 + "7"}


@pytest.mark.parametrize("moment", [NOON, pendulum.datetime(2024, 1, 1, 13, tz="Europe/Berlin"), "2024-01-01T12:00Z"])
def test_times_of_every_type_get_the_documented_format(moment):
    assert build_event_created(FIELDS, datetime=moment)["datetime"] == "2024-01-01T12:00:00.000Z"


def test_error_shortens_and_escapes_the_value():
    with pytest.raises(ValidationError) as caught:
        build_event_alert(FIELDS, level="x" * 10_000 + "\n\x1b[31m", triggering_rules=["r"])
    assert len(str(caught.value)) < 300
    assert "\x1b" not in str(caught.value)


class TestEventFromException:
    def raise_and_catch(self, **options):
        password = "hunter2-hunter2"  # noqa: F841  (must not be sent)
        try:
            try:
                {}["missing"]
            except KeyError as cause:
                raise ValueError("bad input") from cause
        except ValueError as error:
            return event_from_exception(error, **options)

    def test_event_has_the_exception_chain_with_frames(self):
        event = self.raise_and_catch(event_id="e-1", occurred_at=NOON, tags={"team": "orders"})
        built = build_event_created(event, **{k: v for k, v in FIELDS.items() if k not in {"id", "message"}})
        values = built["event"]["exception"]["values"]
        assert [value["type"] for value in values] == ["KeyError", "ValueError"]
        assert values[-1]["stacktrace"]["frames"][-1]["function"] == "raise_and_catch"
        assert (built["id"], built["message"]) == ("e-1", "ValueError: bad input")
        assert built["datetime"] == "2024-01-01T12:00:00.000Z"
        assert built["event"]["tags"] == [["team", "orders"]]
        assert built["culprit"].endswith("in raise_and_catch")

    def test_local_variables_are_not_in_the_event(self):
        assert "hunter2" not in json.dumps(self.raise_and_catch()).replace('password = \\"hunter2-hunter2\\"', "")
        frame = {"function": "f", "vars": {"password": "hunter2"}}
        event = self.raise_and_catch()
        event["exception"]["values"][-1]["stacktrace"]["frames"] = [frame]
        built = build_event_created(event, **{k: v for k, v in FIELDS.items() if k not in {"id", "message"}})
        assert built["event"]["exception"]["values"][-1]["stacktrace"]["frames"] == [{"function": "f"}]

    def test_lines_shortened_by_sentry_sdk_can_be_serialized(self, tmp_path, monkeypatch):
        (tmp_path / "long_line.py").write_text(f"def fail():\n    raise ValueError('{'x' * 5_000}')\n")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ValueError, match="xxx") as caught:
            importlib.import_module("long_line").fail()
        event = event_from_exception(caught.value)
        line = event["exception"]["values"][-1]["stacktrace"]["frames"][-1]["context_line"]
        assert line.endswith("...")
        json.dumps(event)

    def test_all_invalid_arguments_are_named_in_one_error(self):
        wrong = {"level": "loud", "occurred_at": dt.datetime(2026, 1, 1), "event_id": "a b", "tags": [1]}  # noqa: DTZ001
        with pytest.raises(ValidationError) as caught:
            self.raise_and_catch(**wrong)
        assert set(caught.value.problems) == set(wrong)

    @pytest.mark.parametrize("error", [None, "oops", ValueError])
    def test_argument_that_is_not_an_exception_is_refused(self, error):
        with pytest.raises(ValidationError, match="exception: must be an exception that was raised"):
            event_from_exception(error)

    def test_every_event_has_a_different_id(self):
        assert self.raise_and_catch()["event_id"] != self.raise_and_catch()["event_id"]

    def test_missing_extra_is_reported_with_the_package_to_install(self, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "sentry_sdk.utils", None)
        with pytest.raises(ImportError, match=r"airflow-provider-hooks\[sentry\]"):
            self.raise_and_catch()
