# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The limits of a list of hooks, and the masking of what a platform returns in a successful response."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from airflow_provider_hooks.exceptions import HookConflictError, RegistryError
from airflow_provider_hooks.registries import service
from airflow_provider_hooks.registries.model import HookChanges, HookSpec, Response
from airflow_provider_hooks.registries.reconcile import HookReconciler
from airflow_provider_hooks.registries.service import HookManager
from airflow_provider_hooks.registries.store import format_state
from airflow_provider_hooks.signing.secrets import parse_secrets
from tests.growth import assert_grows_linearly
from tests.registries.platform_data import TOKEN, make_api
from tests.registries.reconciler_data import TupleStore

API = make_api("sentry")
SECRET = "a-secret-of-a-hook-0123456789"


def make_hook(number: int = 1, **changes) -> dict[str, object]:
    return {
        "id": f"hook-{number}",
        "url": "https://example.com/",
        "status": "active",
        "dateCreated": "2026-01-01",
        "events": ["event.alert"],
        "secret": f"{SECRET}-{number}",
        **changes,
    }


class Pages:
    """A transport that returns pages, endlessly unless ``last`` is set."""

    def __init__(self, page: list[dict[str, object]], *, last: int | None = None, link: str | None = None) -> None:
        self.body, self.last, self.link, self.sent = json.dumps(page).encode(), last, link, 0

    def send(self, request, read):
        self.sent += 1
        next_link = f'<x>; rel="next"; results="true"; cursor="0:{self.sent}:0"'
        link = "" if self.sent == self.last else self.link or next_link
        return read(request, Response(status_code=200, headers={"link": link}, body=self.body))


def open_manager(transport) -> tuple[HookManager, list[str]]:
    masked: list[str] = []
    return HookManager(API, transport, mask=masked.append), masked


def test_a_list_of_too_many_hooks_is_refused(monkeypatch):
    monkeypatch.setattr(service, "MAX_HOOKS", 100)
    pages = Pages([make_hook(number) for number in range(30)])
    with pytest.raises(RegistryError, match="more than 100 hooks"):
        open_manager(pages)[0].list_all()
    assert pages.sent == 4


def test_a_list_of_too_many_bytes_is_refused(monkeypatch):
    monkeypatch.setattr(service, "MAX_LIST_BYTES", 100_000)
    pages = Pages([make_hook(status="x" * 20_000)])
    with pytest.raises(RegistryError, match="100000 bytes"):
        open_manager(pages)[0].list_all()
    assert pages.sent == 5


def test_a_list_that_takes_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(service, "MAX_LIST_TIMEOUTS", 0)
    with pytest.raises(RegistryError, match="took longer than 0 s"):
        open_manager(Pages([make_hook()]))[0].list_all()


def test_listing_takes_linear_time():
    manager = open_manager(Pages([make_hook(number) for number in range(10)], last=1))[0]
    assert len(manager.list_all()) == 10

    def list_hooks(number: int) -> None:
        open_manager(Pages([make_hook(one) for one in range(number)], last=1))[0].list_all()

    assert_grows_linearly(list_hooks, start=1_000)


def test_secret_of_a_fetched_hook_is_masked_and_those_of_a_list_are_not():
    manager, masked = open_manager(Pages([make_hook()], last=1))
    manager.list_all()
    assert masked == []

    class OneHook:
        def send(self, request, read):
            return read(request, Response(status_code=200, body=json.dumps(make_hook()).encode()))

    manager, masked = open_manager(OneHook())
    assert manager.fetch("hook-1").secret == f"{SECRET}-1"
    assert masked == [f"{SECRET}-1"]


@pytest.mark.parametrize("private", [TOKEN, f"{SECRET}-1", "a-secret-in-the-request"])
@pytest.mark.parametrize("name", ["status", "dateCreated"])
def test_secret_echoed_in_a_hook_is_masked(private, name):
    class Echo:
        def send(self, request, read):
            return read(
                request, Response(status_code=200, body=json.dumps(make_hook(**{name: f"<{private}>"})).encode())
            )

    manager = open_manager(Echo())[0]
    spec = HookSpec(url="https://example.com/", events=("event.alert",), secret="a-secret-in-the-request")
    hook = manager.create(spec)
    assert private not in json.dumps(hook.as_json())
    assert "<***>" in json.dumps(hook.as_json())


def test_hook_id_equal_to_the_token_is_refused():
    class Echo:
        def send(self, request, read):
            return read(request, Response(status_code=200, body=json.dumps(make_hook(id=TOKEN)).encode()))

    with pytest.raises(RegistryError, match="whose id is a secret") as caught:
        open_manager(Echo())[0].fetch("hook-1")
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("part", ['rel="next"; ', 'results="true"; ', 'rel="next"; results="true"; ', ",", ";", '="'])
def test_link_header_is_parsed_in_linear_time(part):
    def read(size: int) -> None:
        API.parse_page([], {"link": (part * size)[:4_096]})

    assert_grows_linearly(read, start=64)


def test_a_link_header_that_is_too_long_is_refused():
    pages = Pages([make_hook()], link='rel="next"; ' * 1_000)
    with pytest.raises(ValueError, match="Link header of more than"):
        API.parse_page([], {"link": pages.link})


class FixedResponses:
    """A transport with a fixed response for each operation, which records the requests."""

    def __init__(self, **responses: bytes) -> None:
        self.responses, self.sent = responses, []

    def send(self, request, read):
        self.sent.append(request.operation.name.lower())
        return read(request, Response(status_code=200, body=self.responses[request.operation.name.lower()]))


@pytest.mark.parametrize("body", [b"", b"  \r\n"])
def test_update_with_an_empty_response_is_followed_by_a_get(body):
    hook = {"_id": "5f1a" * 6, "name": "n", "url": "https://example.com/b", "headers": {}, "active": True, "events": []}
    hook |= {"createdAt": "", "updatedAt": ""}
    responses = FixedResponses(update=body, get=json.dumps(hook).encode())
    manager = HookManager(make_api("akinon"), responses, mask=print)
    assert manager.update("5f1a" * 6, HookChanges(url="https://example.com/b")).url == "https://example.com/b"
    assert responses.sent == ["update", "get"]


class TestCreationWithoutHookId:
    """ZStack's documented response to a creation has an empty endpoint, and the secret, which is returned only once."""

    CREATED = b'{"endpoint": {}, "signingSecretPlaintext": "whsec_of-the-platform"}'
    SPEC = HookSpec(url="https://example.com/a", name="orders")

    def open(self, store):
        self.responses = FixedResponses(create=self.CREATED)
        manager = HookManager(make_api("zstack"), self.responses, mask=lambda _secret: None)
        return HookReconciler(manager, store, registry="r")

    def test_hook_is_registered_once_and_its_secret_is_stored(self, caplog):
        store = TupleStore()
        hook, is_new = self.open(store).register(self.SPEC)
        assert (hook.hook_id, hook.url, hook.secret, is_new) == ("", self.SPEC.url, "whsec_of-the-platform", True)
        assert parse_secrets(format_state(store.state)) == ("whsec_of-the-platform",)
        assert "ZStack did not return the id" in caplog.text
        hook, is_new = self.open(store).register(self.SPEC)
        assert (hook.secret, is_new, self.responses.sent) == ("whsec_of-the-platform", False, [])

    def test_declaration_is_created_once_and_its_url_cannot_change(self):
        store = TupleStore()
        assert self.open(store).ensure(self.SPEC, name="orders").change == "created"
        assert self.open(store).ensure(self.SPEC, name="orders").change == "unchanged"
        assert self.open(store).ensure(replace(self.SPEC, name="b"), name="b").change == "created"
        with pytest.raises(HookConflictError, match="look the id up there"):
            self.open(store).ensure(replace(self.SPEC, url="https://example.com/b"), name="orders")
        assert self.responses.sent == []
