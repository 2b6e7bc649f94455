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
PENDING = StoredHook(secret="s3", registry="r", name="uncertain", url=URL, requested_at="2026-01-01T00:00:00+00:00")
SUPERSEDED = StoredHook(secret="s4", hook_id="h4", registry="r", name="orders", expires_at="2026-01-01T00:00:00+00:00")


def hook(hook_id, secret=None):
    return ServiceHook(hook_id=hook_id, url=URL, secret=secret)


@pytest.mark.parametrize(
    ("stored", "new", "ids", "secrets"),
    [
        ((OTHER,), hook("h9", "s9"), ["h9", "h2"], ["s9", "s2"]),
        ((OTHER, OLD), hook("h1", "s1"), ["h2", "h1"], ["s2", "s1"]),
        ((OTHER, OLD), hook("h1"), ["h2", "h1"], ["s2", "s1"]),
        ((OTHER, OLD), hook("h1", "new"), ["h1", "h2"], ["new", "s2"]),
        ((OTHER, TYPED), hook("h9", "typed"), ["h9", "h2"], ["typed", "s2"]),
        ((OTHER,), hook("h9"), ["h9", "h2"], ["", "s2"]),
    ],
)
def test_hook_is_stored_once_and_first_if_its_secret_is_new(stored, new, ids, secrets):
    after = upsert(stored, new, registry="r")
    assert [one.hook_id for one in after] == ids
    assert [one.secret for one in after] == secrets


def test_stored_name_and_secret_of_a_hook_stay():
    (after,) = upsert((OLD,), hook("h1"), registry="r")
    assert (after.name, after.secret) == ("orders", "s1")


def test_find_declared_leaves_out_pending_and_superseded_hooks():
    stored = (OLD, OTHER, TYPED, PENDING, SUPERSEDED)
    assert find_declared(stored, registry="r", name="orders") == (OLD,)
    assert find_declared(stored, registry="another", name="orders") == ()
    assert find_declared(stored, registry="r", name="uncertain") == ()


@pytest.mark.parametrize(
    ("registry", "name", "url", "found"),
    [
        ("r", "uncertain", "https://x/", True),
        ("r", "", URL, True),
        ("r", "", "https://x/", False),
        ("r", "orders", "https://x/", False),
        ("another", "uncertain", URL, False),
    ],
)
def test_pending_hook_is_found_by_its_name_or_url(registry, name, url, found):
    assert (find_pending((OLD, PENDING), registry=registry, name=name, url=url) is PENDING) is found


def test_removal_leaves_the_other_hooks():
    assert remove((OLD, OTHER, TYPED), "h1", registry="r") == (OTHER, TYPED)
    assert remove((OLD, OTHER), "h1", registry="another") == (OLD, OTHER)


def test_superseded_hook_is_found_by_its_registry_and_replacement():
    superseded = StoredHook(secret="s", hook_id="h5", registry="r", expires_at="2026-01-01", replaced_by="h1")
    assert find_superseded((OLD, superseded), ["h1"], registry="r") == (superseded,)
    assert find_superseded((OLD, superseded), ["h2"], registry="r") == ()
    assert find_superseded((OLD, superseded), ["h1"], registry="another") == ()


def test_equal_hook_id_of_another_registry_is_another_hook():
    after = upsert((OLD,), hook("h1", "s9"), registry="another")
    assert [(one.registry, one.secret) for one in after] == [("another", "s9"), ("r", "s1")]


class TestVariableText:
    OLD = StoredHook(secret="old-secret", hook_id="h1", url="https://example.com/?t=k", created_at="2026-01-01")
    NEW = StoredHook(secret="new-secret", hook_id="h2", registry="sentry", name="orders", rotation_key="d/t/r/-1/3")
    PENDING = StoredHook(secret="pending-secret", url="https://example.com/", requested_at="2026-01-01T00:00:00+00:00")
    UNSIGNED = StoredHook(hook_id="h3", name="unsigned")
    SUPERSEDED = StoredHook(secret="superseded", hook_id="h4", expires_at="2026-01-01T00:00:00+00:00")
    ALL = (NEW, OLD, PENDING, UNSIGNED, SUPERSEDED)

    def test_written_state_is_read_back_in_order(self):
        assert parse_state(format_state(self.ALL)) == self.ALL

    def test_secret_of_a_pending_hook_does_not_sign(self):
        assert parse_secrets(format_state(self.ALL)) == ("new-secret", "old-secret", "superseded")
        assert (self.PENDING.is_pending, self.OLD.is_pending) == (True, False)
        assert (self.SUPERSEDED.superseded, self.OLD.superseded) == (True, False)

    def test_secrets_that_a_user_typed_are_entries_without_an_id(self):
        assert parse_state('["a", "b"]') == (StoredHook(secret="a"), StoredHook(secret="b"))
        assert parse_state(" plain ") == (StoredHook(secret="plain"),)

    @pytest.mark.parametrize("text", ["{}", "[1]", '[{"secret": "hidden", "url": 1}]', '[{"url": "hidden"}]'])
    def test_malformed_json_is_refused_without_being_quoted(self, text):
        with pytest.raises(ValueError, match=r"not a list of secrets|not text") as caught:
            parse_state(text)
        assert "hidden" not in str(caught.value)

    def test_repr_of_a_stored_hook_shows_neither_secret_nor_url(self):
        assert "old-secret" not in repr(self.OLD)
        assert "t=k" not in repr(self.OLD)

    @pytest.mark.parametrize("name", ["service_hook_secret_orders", "orders_hook"])
    def test_airflow_ui_masks_the_variable_under_any_name(self, name):
        shown = VariableResponse(
            key=name, value=format_state(self.ALL), description=None, is_encrypted=True, team_name=None
        )
        assert json.loads(shown.val) in ({"secrets": "***"}, "***") or "secret-" not in shown.val
        for sensitive in ("old-secret", "new-secret", "pending-secret", "superseded", "t=k"):
            assert sensitive not in shown.val
