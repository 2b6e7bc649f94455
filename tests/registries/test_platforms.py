# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""Akinon, ZStack and Smartsheet: requests are exactly the documented ones, and responses are read completely."""

from __future__ import annotations

import json
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hooks.exceptions import RegistryError, UnsupportedOperationError, ValidationError
from airflow_provider_hooks.registries.model import HookChanges, HookSpec, Operation, Response
from airflow_provider_hooks.registries.platforms.smartsheet_rm import EVENT_TYPES
from tests.registries.platform_data import ID_1, ID_2, PLATFORM_DATA, TOKEN, make_api, make_response

AKINON, ZSTACK, SMARTSHEET = make_api("akinon"), make_api("zstack"), make_api("smartsheet_rm")
WEBHOOKS = f"/organizations/{ID_1}/projects/{ID_2}/settings/webhooks"
ENDPOINTS = "/api/v1/alerting/webhook-endpoints"
URL = "https://hooks.example.com/process"

AKINON_SPEC = HookSpec(
    url="<url>".replace("<url>", URL), name="<name>", events=("deployment.build.created",), headers={"X-Key": "s3cret"}
)
ZSTACK_SPEC = HookSpec(url="https://hooks.slack.com/services/T00/B00/xxx", name="Slack Webhook", secret="my-secret-key")
SMARTSHEET_SPEC = HookSpec(url=URL, events=("project.created",))


@pytest.mark.parametrize(
    ("call", "method", "path", "body"),
    [
        (
            AKINON.create(AKINON_SPEC),
            "POST",
            WEBHOOKS,
            {"name": "<name>", "url": URL, "events": ["deployment.build.created"], "headers": {"X-Key": "s3cret"}},
        ),
        (AKINON.list_hooks(), "GET", WEBHOOKS, None),
        (AKINON.get(ID_1), "GET", f"{WEBHOOKS}/{ID_1}", None),
        (AKINON.delete(ID_1), "DELETE", f"{WEBHOOKS}/{ID_1}", None),
        (
            AKINON.update(ID_1, HookChanges(is_active=False, events=("a.b",))),
            "PATCH",
            f"{WEBHOOKS}/{ID_1}",
            {"active": False, "events": ["a.b"]},
        ),
        (
            ZSTACK.create(ZSTACK_SPEC),
            "POST",
            ENDPOINTS,
            {
                "name": "Slack Webhook",
                "url": "https://hooks.slack.com/services/T00/B00/xxx",
                "signingEnabled": True,
                "signingSecret": "my-secret-key",
            },
        ),
        (ZSTACK.get("wh-001"), "GET", f"{ENDPOINTS}/wh-001", None),
        (ZSTACK.delete("wh-001"), "DELETE", f"{ENDPOINTS}/wh-001", None),
        (ZSTACK.rotate("wh-001"), "POST", f"{ENDPOINTS}/wh-001/rotate-secret", {}),
        (ZSTACK.security(), "GET", "/api/v1/alerting/docs/webhook-security", None),
        (SMARTSHEET.create(SMARTSHEET_SPEC), "POST", "/webhooks", {"url": URL, "event_type": "project.created"}),
        (SMARTSHEET.get("123456"), "GET", "/webhooks/123456", None),
        (SMARTSHEET.delete("123456"), "DELETE", "/webhooks/123456", None),
    ],
)
def test_requests_match_the_documentation(call, method, path, body):
    assert (call.method, call.path, call.body) == (method, path, body)


def test_token_is_sent_as_each_platform_documents():
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert (AKINON.authorize(), ZSTACK.authorize(), SMARTSHEET.authorize()) == (bearer, bearer, {"auth": TOKEN})


class TestAkinon:
    WEBHOOK = {
        "_id": ID_1,
        "name": "<name>",
        "url": URL,
        "headers": {"X-Key": "s3cret"},
        "active": True,
        "events": ["deployment.build.created"],
        "createdAt": "2026-01-01T00:00:00.000Z",
        "updatedAt": "2026-01-02T00:00:00.000Z",
    }
    PROJECT = {"_id": ID_2, "name": "A project", "slug": "a-project", "organization": ID_1, "status": "draft"}

    def test_documented_201_has_the_project_and_no_webhook(self):
        call = AKINON.create(AKINON_SPEC)
        assert AKINON.read_created(call, make_response(self.PROJECT, 201)) is None

    def test_webhook_in_the_201_is_read(self):
        hook = AKINON.read_created(AKINON.create(AKINON_SPEC), make_response(self.WEBHOOK, 201))
        assert (hook.hook_id, hook.name, hook.url, hook.status) == (ID_1, "<name>", URL, "active")
        assert (hook.headers, hook.events) == ({"X-Key": "s3cret"}, ("deployment.build.created",))
        assert (hook.created_at, hook.updated_at) == ("2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z")
        assert "s3cret" not in repr(hook) + json.dumps(hook.as_json())

    def test_the_list_is_one_page(self):
        disabled = {**self.WEBHOOK, "active": False}
        page = AKINON.read_page(AKINON.list_hooks(), make_response([self.WEBHOOK, disabled]))
        assert ([hook.status for hook in page.hooks], page.next_cursor) == (["active", "disabled"], None)

    @pytest.mark.parametrize("content", [{}, {**WEBHOOK, "headers": [1]}, {**WEBHOOK, "events": None}, [], "x"])
    def test_malformed_response_is_an_error(self, content):
        with pytest.raises(RegistryError, match="answered"):
            AKINON.read_hook(AKINON.get(ID_1), make_response(content))

    @pytest.mark.parametrize(
        ("spec", "names"),
        [
            (HookSpec(url="x", name=" ", events=()), {"url", "name", "events"}),
            (HookSpec(url=URL, name="n", events=("a",), headers={"a b": "x"}), {"headers"}),
            (HookSpec(url=URL, name="n", events=("a",), headers={"X-Key": "a\r\nb"}), {"headers"}),
            (HookChanges(events=(), name=""), {"events", "name"}),
        ],
    )
    def test_invalid_declaration_is_refused_before_any_call(self, spec, names):
        with pytest.raises(ValidationError) as caught:
            AKINON.check(spec)
        assert set(caught.value.problems) == names

    def test_hook_id_must_be_24_hex_digits(self):
        for hook_id in ("5f1a", ID_1 + "0", "g" * 24, f"{ID_1}\n", None):
            with pytest.raises(ValidationError, match="hook_id"):
                AKINON.get(hook_id)


class TestZStack:
    ENDPOINT = {
        "id": "wh-001",
        "name": "Slack Webhook",
        "url": "https://hooks.slack.com/services/T00/B00/xxx",
        "signingEnabled": True,
        "signingSecretMasked": "****abc1",
        "createdAt": "2026-01-15T08:00:00Z",
        "updatedAt": "2026-01-15T08:00:00Z",
    }

    @pytest.mark.parametrize("call", [ZSTACK.create(ZSTACK_SPEC), ZSTACK.rotate("wh-001")])
    def test_secret_in_the_creation_or_rotation_response_is_read(self, call):
        hook = ZSTACK.read_hook(
            call, make_response({"endpoint": self.ENDPOINT, "signingSecretPlaintext": "whsec_abc123def456"})
        )
        assert (hook.hook_id, hook.name, hook.secret) == ("wh-001", "Slack Webhook", "whsec_abc123def456")
        assert (hook.created_at, hook.updated_at) == ("2026-01-15T08:00:00Z", "2026-01-15T08:00:00Z")
        assert "abc123" not in repr(hook) + json.dumps(hook.as_json())

    def test_a_flat_endpoint_is_read_without_a_secret(self):
        assert ZSTACK.read_hook(ZSTACK.get("wh-001"), make_response(self.ENDPOINT)).secret is None

    def test_description_of_the_signatures_is_read(self):
        content = {
            "algorithm": "HMAC-SHA256",
            "signatureFormat": "v1=<hex-digest>",
            "headerTimestamp": "X-Webhook-Timestamp",
            "headerSignature": "X-Webhook-Signature",
            "payloadFormat": "timestamp.body",
            "replayWindowSec": 300,
            "examples": [],
        }
        security = ZSTACK.read_security(ZSTACK.security(), make_response(content))
        assert (security.algorithm, security.signature_header, security.replay_window) == (
            "HMAC-SHA256",
            "X-Webhook-Signature",
            300,
        )
        with pytest.raises(RegistryError, match="replayWindowSec"):
            ZSTACK.read_security(ZSTACK.security(), make_response({**content, "replayWindowSec": "soon"}))

    def test_404_is_not_found_only_with_a_message_of_the_platform(self):
        for content, gone in ((b"<html>", False), ({"error": {"description": "not found"}}, True)):
            with pytest.raises(RegistryError) as caught:
                ZSTACK.read_hook(ZSTACK.get("wh-001"), make_response(content, 404))
            assert caught.value.not_found is gone

    def test_error_shows_the_message_of_the_platform(self):
        content = {"error": {"code": "SYS.1001", "description": "invalid url", "details": "no host"}}
        with pytest.raises(RegistryError, match=r"HTTP 400: SYS.1001; invalid url; no host"):
            ZSTACK.read_hook(ZSTACK.create(ZSTACK_SPEC), make_response(content, 400))

    def test_invalid_declaration_is_refused_before_any_call(self):
        with pytest.raises(ValidationError) as caught:
            ZSTACK.create(HookSpec(url="", name=None, secret=" padded "))
        assert set(caught.value.problems) == {"url", "name", "secret"}
        assert "padded" not in str(caught.value)


class TestSmartsheet:
    WEBHOOK = {
        "id": 123456,
        "organization_id": 1,
        "url": URL,
        "status": "active",
        "event_type": "project.created",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-02T00:00:00Z",
    }

    def test_a_webhook_is_read(self):
        hook = SMARTSHEET.read_hook(SMARTSHEET.create(SMARTSHEET_SPEC), make_response(self.WEBHOOK))
        assert (hook.hook_id, hook.url, hook.events, hook.status) == ("123456", URL, ("project.created",), "active")
        assert (hook.created_at, hook.updated_at) == ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")

    def test_pagination_uses_only_the_page_number(self):
        paging = {"page": 1, "per_page": 1000, "previous": None, "self": "/x", "next": "https://evil.example/?page=9"}
        assert SMARTSHEET.list_hooks().query == {"page": "1", "per_page": "1000"}
        page = SMARTSHEET.read_page(SMARTSHEET.list_hooks(), make_response({"paging": paging, "data": [self.WEBHOOK]}))
        assert SMARTSHEET.list_hooks(page.next_cursor).query == {"page": "2", "per_page": "1000"}
        last = {"paging": {**paging, "next": None}, "data": []}
        assert SMARTSHEET.read_page(SMARTSHEET.list_hooks(), make_response(last)).next_cursor is None

    @pytest.mark.parametrize("content", [[], {}, {"data": [], "paging": None}, {"data": {}, "paging": {"page": 1}}])
    def test_malformed_page_is_an_error(self, content):
        with pytest.raises(RegistryError, match="no page of webhooks"):
            SMARTSHEET.read_page(SMARTSHEET.list_hooks(), make_response(content))

    def test_event_types_are_the_eight_documented_ones(self):
        objects = ("project", "time.entry", "user", "assignment")
        assert set(EVENT_TYPES) == {f"{one}.{what}" for one, what in product(objects, ("created", "updated"))}

    @pytest.mark.parametrize(
        ("spec", "names"),
        [
            (HookSpec(url="http://hooks.example.com/", events=("project.created",)), {"url"}),
            (HookSpec(url=URL, events=()), {"events"}),
            (HookSpec(url=URL, events=("project.created", "user.created")), {"events"}),
            (HookSpec(url="x", events=("project.deleted",)), {"url", "events"}),
        ],
    )
    def test_invalid_declaration_is_refused_before_any_call(self, spec, names):
        with pytest.raises(ValidationError) as caught:
            SMARTSHEET.create(spec)
        assert set(caught.value.problems) == names

    def test_error_shows_the_message_of_the_platform(self):
        with pytest.raises(RegistryError, match="HTTP 403: bad data; the token lacks the permission"):
            SMARTSHEET.read_hook(SMARTSHEET.get("1"), make_response({"message": "bad data", "errors": []}, 403))

    def test_429_is_reported_with_the_time_of_the_reset(self):
        headers = {"x-ratelimit-reset": "1700000000"}
        refused = Response(status_code=429, headers=headers, body=b"{}")
        with pytest.raises(RegistryError, match="the limit applies until 2023-11-14T22:13:20Z") as caught:
            SMARTSHEET.read_hook(SMARTSHEET.get("1"), refused)
        assert caught.value.retryable


def build(api, operation):
    """Build the request of an operation, with arguments that the platform accepts."""
    data = PLATFORM_DATA[api.platform.name]
    hook_id = data.unknown_id
    requests = {
        Operation.CREATE: lambda: api.create(api.expand(data.spec)[0]),
        Operation.LIST: api.list_hooks,
        Operation.GET: lambda: api.get(hook_id),
        Operation.UPDATE: lambda: api.update(hook_id, HookChanges(url=URL)),
        Operation.DELETE: lambda: api.delete(hook_id),
        Operation.STATS: lambda: api.stats(hook_id, since=None, until=None, resolution=None),
        Operation.ROTATE: lambda: api.rotate(hook_id),
        Operation.SECURITY: api.security,
    }
    return requests[operation]()


@pytest.mark.parametrize(("platform", "operation"), list(product(PLATFORM_DATA, Operation)))
def test_operation_is_supported_as_described_or_names_an_alternative(platform, operation):
    api = make_api(platform)
    if operation in api.platform.operations:
        assert build(api, operation).operation is operation
        return
    with pytest.raises(UnsupportedOperationError) as caught:
        build(api, operation)
    assert str(caught.value).startswith(f"{api.platform.title} documents no call to {operation.value}: ")
    assert operation in api.platform.alternatives


@given(
    platform=st.sampled_from(list(PLATFORM_DATA)),
    status=st.integers(100, 599),
    body=st.one_of(
        st.binary(), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
    ),
)
def test_any_response_raises_only_registry_errors(platform, status, body):
    api = make_api(platform)
    request = build(api, Operation.GET)
    reads = [api.read_hook, api.read_created, api.read_deletion]
    reads += [api.read_page] if Operation.LIST in api.platform.operations else []
    for read in reads:
        try:
            read(request, Response(status_code=status, body=body))
        except RegistryError:
            continue
