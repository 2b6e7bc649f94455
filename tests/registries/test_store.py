# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import json

import pytest
from airflow.api_fastapi.core_api.datamodels.variables import VariableResponse

from airflow_provider_hooks.registries.model import ServiceHook
from airflow_provider_hooks.registries.store import (
    StoredHook,
    find_declared,
    find_pending,
    find_superseded,
    format_state,
    parse_state,
    remove,
    upsert,
)
from airflow_provider_hooks.signing.secrets import parse_secrets

URL = "https://example.com/"
OLD = StoredHook(secret="s1", hook_id="h1", registry="r", name="orders", url=URL)
OTHER = StoredHook(secret="s2", hook_id="h2", registry="r", name="stock")
TYPED = StoredHook(secret="typed")
PENDING = StoredHook(secret="s3", registry="r", name="asked", url=URL, requested_at="2026-01-01T00:00:00+00:00")
SUPERSEDED = StoredHook(secret="s4", hook_id="h4", registry="r", name="orders", expires_at="2026-01-01T00:00:00+00:00")


def hook(hook_id, secret=None):
    return ServiceHook(hook_id=hook_id, url=URL, secret=secret)


@pytest.mark.parametrize(
    ("kept", "new", "ids", "secrets"),
    [
        ((OTHER,), hook("h9", "s9"), ["h9", "h2"], ["s9", "s2"]),
        ((OTHER, OLD), hook("h1", "s1"), ["h2", "h1"], ["s2", "s1"]),
        ((OTHER, OLD), hook("h1"), ["h2", "h1"], ["s2", "s1"]),
        ((OTHER, OLD), hook("h1", "new"), ["h1", "h2"], ["new", "s2"]),
        ((OTHER, TYPED), hook("h9", "typed"), ["h9", "h2"], ["typed", "s2"]),
        ((OTHER,), hook("h9"), ["h9", "h2"], ["", "s2"]),
    ],
)
def test_a_hook_is_stored_once_and_in_front_if_its_secret_is_new(kept, new, ids, secrets):
    after = upsert(kept, new, registry="r")
    assert [one.hook_id for one in after] == ids
    assert [one.secret for one in after] == secrets


def test_what_was_known_of_a_hook_stays_known():
    (after,) = upsert((OLD,), hook("h1"), registry="r")
    assert (after.name, after.secret) == ("orders", "s1")


def test_a_declaration_has_only_its_own_hooks_that_are_there():
    kept = (OLD, OTHER, TYPED, PENDING, SUPERSEDED)
    assert find_declared(kept, registry="r", name="orders") == (OLD,)
    assert find_declared(kept, registry="another", name="orders") == ()
    assert find_declared(kept, registry="r", name="asked") == ()


@pytest.mark.parametrize(
    ("registry", "name", "url", "found"),
    [
        ("r", "asked", "https://x/", True),
        ("r", "", URL, True),
        ("r", "", "https://x/", False),
        ("r", "orders", "https://x/", False),
        ("another", "asked", URL, False),
    ],
)
def test_a_pending_hook_is_known_by_its_name_or_url(registry, name, url, found):
    assert (find_pending((OLD, PENDING), registry=registry, name=name, url=url) is PENDING) is found


def test_forgetting_leaves_the_others():
    assert remove((OLD, OTHER, TYPED), "h1", registry="r") == (OTHER, TYPED)
    assert remove((OLD, OTHER), "h1", registry="another") == (OLD, OTHER)


def test_a_superseded_hook_is_known_by_the_registry_and_the_hook_in_its_place():
    superseded = StoredHook(secret="s", hook_id="h5", registry="r", expires_at="2026-01-01", replaced_by="h1")
    assert find_superseded((OLD, superseded), ["h1"], registry="r") == (superseded,)
    assert find_superseded((OLD, superseded), ["h2"], registry="r") == ()
    assert find_superseded((OLD, superseded), ["h1"], registry="another") == ()


def test_the_same_id_on_another_registry_is_another_hook():
    after = upsert((OLD,), hook("h1", "s9"), registry="another")
    assert [(one.registry, one.secret) for one in after] == [("another", "s9"), ("r", "s1")]


class TestTextOfTheVariable:
    OLD = StoredHook(secret="old-secret", hook_id="h1", url="https://example.com/?t=k", created_at="2026-01-01")
    NEW = StoredHook(secret="new-secret", hook_id="h2", registry="sentry", name="orders", rotation_key="d/t/r/-1/3")
    PENDING = StoredHook(secret="asked-secret", url="https://example.com/", requested_at="2026-01-01T00:00:00+00:00")
    UNSIGNED = StoredHook(hook_id="h3", name="unsigned")
    SUPERSEDED = StoredHook(secret="superseded", hook_id="h4", expires_at="2026-01-01T00:00:00+00:00")
    ALL = (NEW, OLD, PENDING, UNSIGNED, SUPERSEDED)

    def test_what_was_written_is_read_back_in_its_order(self):
        assert parse_state(format_state(self.ALL)) == self.ALL

    def test_only_what_the_platform_is_known_to_have_may_sign(self):
        assert parse_secrets(format_state(self.ALL)) == ("new-secret", "old-secret", "superseded")
        assert (self.PENDING.is_pending, self.OLD.is_pending) == (True, False)
        assert (self.SUPERSEDED.superseded, self.OLD.superseded) == (True, False)

    def test_secrets_that_a_user_typed_are_entries_without_an_id(self):
        assert parse_state('["a", "b"]') == (StoredHook(secret="a"), StoredHook(secret="b"))
        assert parse_state(" plain ") == (StoredHook(secret="plain"),)

    @pytest.mark.parametrize("text", ["{}", "[1]", '[{"secret": "hidden", "url": 1}]', '[{"url": "hidden"}]'])
    def test_json_of_another_form_is_rejected_without_being_quoted(self, text):
        with pytest.raises(ValueError, match=r"not a list of secrets|not text") as caught:
            parse_state(text)
        assert "hidden" not in str(caught.value)

    def test_a_stored_hook_shows_neither_secret_nor_url(self):
        assert "old-secret" not in repr(self.OLD)
        assert "t=k" not in repr(self.OLD)

    @pytest.mark.parametrize("name", ["service_hook_secret_orders", "orders_hook"])
    def test_airflows_ui_masks_all_of_it_whatever_the_variables_name(self, name):
        shown = VariableResponse(
            key=name, value=format_state(self.ALL), description=None, is_encrypted=True, team_name=None
        )
        assert json.loads(shown.val) in ({"secrets": "***"}, "***") or "secret-" not in shown.val
        for sensitive in ("old-secret", "new-secret", "asked-secret", "superseded", "t=k"):
            assert sensitive not in shown.val
