# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Requests to Sentry are exactly the documented ones, and its documented responses are read completely."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hooks.exceptions import RegistryError, ValidationError
from airflow_provider_hooks.registries.model import HookChanges, HookSpec, Response, Stat
from tests.registries.platform_data import make_api, make_response

SECRET = "0433394d266a4031b0bfb7a9369b4af36467d0768caa421abd90f1ead2998bf5"
OBJECT = {
    "dateCreated": "2020-03-22T20:58:21.343662Z",
    "events": ["event.alert", "event.created"],
    "id": "7c9b9e54c6b84b32bdc1b39643812466",
    "secret": SECRET,
    "status": "active",
    "url": "https://example.com/sentry-hook",
}
"""The response that Sentry documents."""

API = make_api("sentry")
SPEC = HookSpec(url="https://example.com/sentry-hook", events=("event.alert", "event.created"))
CREATE = API.create(SPEC)
LIST = API.list_hooks()
HOOKS = "/projects/the-interstellar-jurisdiction/pump-station/hooks/"


def test_a_hook_is_registered_by_the_documented_request():
    assert CREATE.method == "POST"
    assert CREATE.path == HOOKS
    assert CREATE.body == {"events": ["event.alert", "event.created"], "url": "https://example.com/sentry-hook"}


def test_documented_response_is_read_completely_and_shown_without_its_secret():
    hook = API.read_hook(CREATE, make_response({**OBJECT, "new_field": 1}, 201))
    assert (hook.hook_id, hook.url, hook.status) == (OBJECT["id"], OBJECT["url"], "active")
    assert (list(hook.events), hook.created_at, hook.secret) == (OBJECT["events"], OBJECT["dateCreated"], SECRET)
    assert SECRET not in repr(hook)
    assert SECRET not in json.dumps(hook.as_json())


@pytest.mark.parametrize(
    ("call", "method", "path", "body"),
    [
        (LIST, "GET", HOOKS, None),
        (API.get("a1"), "GET", f"{HOOKS}a1/", None),
        (API.delete("a1"), "DELETE", f"{HOOKS}a1/", None),
        (
            API.update("a1", HookChanges(url="https://x.example/", events=("event.alert",), is_active=False)),
            "PUT",
            f"{HOOKS}a1/",
            {"url": "https://x.example/", "events": ["event.alert"], "isActive": False},
        ),
        (API.update("a1", HookChanges(is_active=True)), "PUT", f"{HOOKS}a1/", {"isActive": True}),
        (API.stats("a1", since=None, until=None, resolution=None), "GET", f"{HOOKS}a1/stats/", None),
    ],
)
def test_other_requests_match_the_documentation(call, method, path, body):
    assert (call.method, call.path, call.body) == (method, path, body)


def test_statistics_are_requested_and_read_as_documented():
    call = API.stats("a1", since=1, until=2, resolution="1h")
    assert call.query == {"since": "1", "until": "2", "resolution": "1h"}
    assert API.read_stats(call, make_response([{"ts": 1, "total": 5}])) == [Stat(timestamp=1, total=5)]
    for content in ({}, [1], [{"ts": "1", "total": 5}], [{"ts": 1}]):
        with pytest.raises(RegistryError, match="times and totals"):
            API.read_stats(call, make_response(content))
    with pytest.raises(ValidationError, match="resolution"):
        API.stats("a1", since=None, until=None, resolution="2h")


def test_hook_id_that_would_change_the_path_is_refused():
    for hook_id in ("../../x", "", "a/b", "a?b", "a b", "a\n", None):
        with pytest.raises(ValidationError, match="hook_id"):
            API.get(hook_id)


def test_pagination_uses_only_the_cursor_of_the_link_header():
    link = (
        '<https://evil.example/?&cursor=1:0:1>; rel="previous"; results="false"; cursor="1:0:1", '
        '<https://evil.example/?&cursor=1:100:0>; rel="next"; results="true"; cursor="1:100:0"'
    )
    page = API.read_page(LIST, make_response([OBJECT, OBJECT], link=link))
    assert (len(page.hooks), page.next_cursor) == (2, "1:100:0")
    assert API.list_hooks(page.next_cursor).query == {"cursor": "1:100:0"}
    last = link.replace('results="true"', 'results="false"')
    assert API.read_page(LIST, make_response([], link=last)).next_cursor is None
    assert API.read_page(LIST, make_response([])).next_cursor is None


@pytest.mark.parametrize(
    ("status", "content", "there"), [(204, b"", True), (200, {}, True), (404, {"detail": "gone"}, False)]
)
def test_deletion_returns_whether_the_hook_existed(status, content, there):
    assert API.read_deletion(API.delete("a1"), make_response(content, status)) is there


@pytest.mark.parametrize(("status", "content"), [(200, b"<html>"), (404, b"<html>"), (404, b""), (302, b"")])
def test_undocumented_response_to_a_deletion_is_an_error(status, content):
    with pytest.raises(RegistryError):
        API.read_deletion(API.delete("a1"), make_response(content, status))


def test_410_is_read_as_a_deleted_hook():
    assert API.read_deletion(API.delete("a1"), make_response({"detail": "gone for good"}, 410)) is False


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        (HookSpec(url="ftp://x", events=()), {"url", "events"}),
        (HookSpec(url=f"https://example.com/{'x' * 500}", events=("event.alert", "event.x")), {"url", "events"}),
        (HookSpec(url=None, events=("event.alert",)), {"url"}),
        (HookSpec(url=7, events=(["x"], 7)), {"url", "events"}),
        (HookChanges(url="ftp://x", events=()), {"url", "events"}),
    ],
)
def test_declaration_that_sentry_would_refuse_is_refused_before_any_call(spec, names):
    with pytest.raises(ValidationError) as caught:
        API.check(spec)
    assert set(caught.value.problems) == names


def test_url_is_limited_to_512_characters():
    url = "https://example.com/".ljust(512, "x")
    API.check(HookChanges(url=url))
    with pytest.raises(ValidationError, match="512"):
        API.check(HookChanges(url=url + "x"))


@pytest.mark.parametrize(
    ("status", "content", "problem"),
    [
        (400, {"events": ["Invalid event name: X"]}, "events: Invalid event name: X"),
        (400, {"url": ["Enter a valid URL."]}, "url: Enter a valid URL."),
        (401, {"detail": "Invalid token"}, "Invalid token; the token is missing, wrong or expired"),
        (
            403,
            {"error_type": "unavailable_feature", "detail": ["You do not have that feature enabled"]},
            "You do not have that feature enabled; the project lacks the 'servicehooks' feature",
        ),
        (403, {"detail": "You do not have permission"}, "project:write"),
        (404, {"detail": "The requested resource does not exist"}, "no such organization, project or hook"),
        (409, {"detail": "Conflict"}, "Conflict; it conflicts with an existing hook: list the hooks"),
        (410, {"detail": "Gone"}, "Gone; it was deleted permanently"),
        (429, {"detail": "Slow down"}, "Slow down; too many requests; the limit applies for an unknown time"),
        (500, b"<html>oops</html>", "no message"),
        (302, b"", "no message"),
        (400, {"detail": "a\r\nb\x1b[31m" + "x" * 500}, "a\\r\\nb\\x1b[31m"),
    ],
)
def test_error_names_platform_call_status_message_and_advice(status, content, problem):
    with pytest.raises(RegistryError) as caught:
        API.read_hook(CREATE, make_response(content, status))
    assert str(caught.value).startswith(f"Sentry, register a service hook: HTTP {status}: ")
    assert problem in str(caught.value)
    assert caught.value.status_code == status
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"<html>", "not JSON"),
        (b'{"id": "a', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff", "not JSON"),
        ({}, "id, url, status, dateCreated"),
        ([], "id, url"),
        ({**OBJECT, "secret": 7}, "secret"),
        ({**OBJECT, "events": [1]}, "events"),
        ({**OBJECT, "id": "../x"}, "id"),
        ({**OBJECT, "id": "x\n\x1b[31m", "events": ["\x1b[2J"], "status": "a\nb"}, "id, status"),
    ],
)
def test_malformed_response_is_an_error_that_does_not_quote_it(content, problem):
    with pytest.raises(RegistryError, match="answered") as caught:
        API.read_hook(CREATE, make_response(content, 201))
    assert problem in str(caught.value)
    assert SECRET not in str(caught.value)


def test_list_response_without_an_array_is_an_error():
    with pytest.raises(RegistryError, match="no list"):
        API.read_page(LIST, make_response({"a": 1}))


@pytest.mark.parametrize(("status", "retryable"), [(None, True), (429, True), (503, True), (400, False), (403, False)])
def test_only_temporary_errors_are_retryable(status, retryable):
    assert RegistryError("Sentry", "list", "x", status_code=status).retryable is retryable


@pytest.mark.parametrize(
    ("status", "sent", "uncertain"),
    [
        (None, True, True),
        (None, False, False),
        (200, True, True),
        (302, True, True),
        (400, True, False),
        (429, True, False),
        (500, True, True),
    ],
)
def test_outcome_is_unknown_unless_the_call_was_refused_or_not_sent(status, sent, uncertain):
    assert RegistryError("Sentry", "create", "x", status_code=status, sent=sent).outcome_unknown is uncertain


@pytest.mark.parametrize(
    ("status", "explained", "gone"), [(404, True, True), (410, True, True), (404, False, False), (403, True, False)]
)
def test_not_found_requires_a_message_of_the_platform(status, explained, gone):
    assert RegistryError("Sentry", "get", "x", status_code=status, has_platform_message=explained).not_found is gone


@given(body=st.one_of(st.binary(), st.text().map(str.encode)), status=st.integers(100, 599), link=st.text())
def test_any_response_raises_only_registry_errors(body, status, link):
    for read in (API.read_hook, API.read_page, API.read_deletion, API.read_stats):
        try:
            read(CREATE, Response(status_code=status, headers={"link": link}, body=body))
        except RegistryError:
            continue
