# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
``deliveries mark-delivered`` and ``resend`` with a ledger, without task instances.

``tests/system/test_resend.py`` tests their effect on tasks.
"""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from airflow_provider_hooks.delivery.claims import Claim, ClaimAction, TryContext, mark_delivered, next_action
from airflow_provider_hooks.ledger.claims import LedgerClaimStore, make_claim_key
from airflow_provider_hooks.ledger.history import find_delivery
from airflow_provider_hooks.stream.claims import StreamClaim
from tests.ledger.deliveries import Ledger, make_stream
from tests.ledger.test_retention import TASK
from tests.servers import OK, raw_server

SERVER_ERROR = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
ID = "00000007-0000-5000-8000-00000000000"


@pytest.fixture
def filled(ledger) -> Ledger:
    return Ledger(ledger)


def load(filled: Ledger, row: int) -> Claim:
    (key,) = filled.database.run("SELECT claim_key FROM service_hook_deliveries WHERE id = ?", (row,))[0]
    return LedgerClaimStore(filled.database, key, Claim, origin=TASK).load()


def find_outcome(filled: Ledger, row: int) -> tuple[str, str]:
    one = find_delivery(filled.database, str(row)).delivery
    return one.state, one.outcome


def test_unknown_delivery_marked_as_delivered_is_not_sent_again(run, filled):
    row = filled.add("unknown")
    done = run("deliveries", "mark-delivered", str(row), "--yes", "-o", "json")
    assert (done.code, [one["result"] for one in done.json]) == (0, ["marked as delivered"])
    assert f"{row}: will be marked as delivered; it is unknown (timeout): orders.loaded to an_endpoint" in done.err
    assert find_outcome(filled, row) == ("settled", "delivered")
    claim = load(filled, row)
    for generation in ("0", "1"):
        assert next_action(claim, generation=generation) is ClaimAction.MARK_DELIVERED
    _, record = mark_delivered(claim, run=TryContext(generation="1", try_number=2))
    assert (record.attempt.outcome.value, record.settled) == ("delivered", True)
    assert "marked as delivered by a user" in run("deliveries", "show", str(row), "-o", "json").json["what_happened"]


def test_marked_delivery_is_left_unchanged(run, filled):
    row = filled.add("unknown")
    for expected in ("marked as delivered", "unchanged"):
        done = run("deliveries", "mark-delivered", str(row), "--yes", "-o", "json")
        assert (done.code, done.json[0]["result"]) == (0, expected)


def test_an_open_claim_of_a_command_is_marked(run, filled):
    row = filled.add("claimed", origin="command", once="event")
    assert run("deliveries", "mark-delivered", str(row), "-y").code == 0
    assert next_action(load(filled, row), generation="") is ClaimAction.MARK_DELIVERED


@pytest.mark.parametrize(
    ("outcome", "problem"),
    [
        ("delivered", "was delivered, so there is nothing to mark"),
        ("rejected", "was rejected (HTTP 500); resend it, or mark its task as success"),
        ("not_sent", "was not sent, so the receiver does not have the event"),
    ],
)
def test_delivery_with_a_known_outcome_cannot_be_marked(run, filled, outcome, problem):
    row, other = filled.add(outcome), filled.add("unknown")
    done = run("deliveries", "mark-delivered", str(other), str(row), "--yes")
    assert (done.code, done.out) == (1, "")
    assert f"mark-delivered: {row}: {problem}" in done.err
    assert find_outcome(filled, other) == ("unknown", "unknown"), "no delivery is changed"


def test_all_invalid_ids_are_named_in_one_error(run, filled):
    for number in range(2):
        filled.add("unknown", delivery_id=f"{ID}{number}")
    done = run("deliveries", "mark-delivered", "77777", ID, "--yes")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "77777: there is none" in done.err
    assert f"{ID}: 2 deliveries match" in done.err


def test_claim_changed_meanwhile_is_left_unchanged(run, filled, monkeypatch):
    row = filled.add("unknown")
    find = find_delivery

    def find_late(database, text):
        details = find(database, text)
        filled.database.run("UPDATE service_hook_deliveries SET owner_token = 'another'")
        return details

    monkeypatch.setattr("airflow_provider_hooks.admin.stored.find_delivery", find_late)
    done = run("deliveries", "mark-delivered", str(row), "--yes")
    assert (done.code, done.out) == (1, "")
    assert "changed the claim of this delivery meanwhile" in done.err
    assert find_outcome(filled, row) == ("unknown", "unknown")


@pytest.mark.parametrize("command", ["mark-delivered", "resend"])
def test_stream_is_refused(run, filled, command):
    LedgerClaimStore(filled.database, make_claim_key("s"), StreamClaim, origin=TASK).acquire(None, make_stream("done"))
    done = run("deliveries", command, "1", "--yes")
    assert (done.code, done.out) == (1, "")
    assert "is a stream" in done.err


@pytest.mark.parametrize("origin", ["callback", "command"])
def test_resend_without_a_task_or_stored_payload_is_refused(run, filled, origin):
    row = filled.add("unknown", origin=origin)
    done = run("deliveries", "resend", str(row), "--yes")
    assert (done.code, done.out) == (1, "")
    assert f"resend: {row}: comes from a {origin}, and its payload is not stored" in done.err
    assert "[service_hooks] store_payloads" in done.err
    assert find_outcome(filled, row) == ("unknown", "unknown")


@pytest.fixture
def stores_payloads(ledger, monkeypatch):
    monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__STORE_PAYLOADS", "True")
    monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__PAYLOAD_KEYS", Fernet.generate_key().decode())


def deliver(run, conn_id: str) -> dict:
    """Deliver an event with the command, and return its delivery as the ledger lists it."""
    assert run("deliver", conn_id, "--event-type", "orders.loaded", "--data", '{"orders": 12}').code == 5
    (found,) = run("deliveries", "list", "-o", "json").json["deliveries"]
    assert found["outcome"] == "unknown"
    return found


def respond_on_second(response: bytes):
    """Return a handler that closes the first connection without a response, and sends it on the second."""
    responses = [response, b""]
    return lambda connection: connection.sendall(responses.pop())


@pytest.mark.parametrize(("response", "code", "outcome"), [(OK, 0, "delivered"), (SERVER_ERROR, 3, "rejected")])
def test_stored_payload_is_sent_again_unchanged_with_a_new_signature(
    run, endpoint, stores_payloads, response, code, outcome
):
    with raw_server(respond_on_second(response)) as server:
        found = deliver(run, endpoint(server.url))
        done = run("deliveries", "resend", str(found["id"]), "--yes", "-o", "json")
    assert (done.code, done.json[0]["result"].partition(" ")[0]) == (code, outcome), done.err
    assert f"{found['id']}: will be sent again from here, from its stored payload; it is unknown" in done.err
    first, second = (one.partition(b"\r\n\r\n") for one in server.requests)
    assert first[2] == second[2]
    assert f"X-Service-Hook-Delivery: {found['delivery_id']}".encode() in second[0]
    assert b"X-Service-Hook-Redelivery: true" in second[0]
    assert b"X-Service-Hook-Redelivery" not in first[0]
    shown = run("deliveries", "show", str(found["id"]), "-o", "json").json
    assert (shown["state"], shown["outcome"], shown["origin"]) == (outcome, outcome, "command")
    assert [one["record"]["outcome"] for one in shown["attempts"]] == ["unknown", outcome]


def test_a_stored_payload_that_cannot_be_sent_leaves_the_claim_unchanged(run, endpoint, stores_payloads, monkeypatch):
    with raw_server(respond_on_second(OK)) as server:
        found = deliver(run, endpoint(server.url))
        endpoint(server.url, disabled=True)
        refused = run("deliveries", "resend", str(found["id"]), "--yes")
        endpoint(server.url)
        monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__PAYLOAD_KEYS", Fernet.generate_key().decode())
        undecipherable = run("deliveries", "resend", str(found["id"]), "--yes")
        monkeypatch.setenv("AIRFLOW__SERVICE_HOOKS__STORE_PAYLOADS", "False")
        monkeypatch.delenv("AIRFLOW__SERVICE_HOOKS__PAYLOAD_KEYS")
        without_key = run("deliveries", "resend", str(found["id"]), "--yes")
        assert len(server.requests) == 1
    assert [one.code for one in (refused, undecipherable, without_key)] == [1, 1, 1]
    assert "disabled" in refused.err
    assert "cannot be decrypted: add the key that encrypted it to [service_hooks] payload_keys" in undecipherable.err
    assert "set [service_hooks] payload_keys" in without_key.err
    shown = run("deliveries", "show", str(found["id"]), "-o", "json").json
    assert (shown["state"], shown["outcome"]) == ("unknown", "unknown")


def test_change_without_a_terminal_requires_yes(run, filled):
    row = filled.add("unknown")
    done = run("deliveries", "mark-delivered", str(row))
    assert (done.code, done.out) == (1, "")
    assert "not confirmed: --yes: is needed where no terminal can confirm; nothing was changed" in done.err
    assert find_outcome(filled, row) == ("unknown", "unknown")


@pytest.mark.parametrize(("answer", "state"), [("y", "settled"), ("YES", "settled"), ("n", "unknown"), ("", "unknown")])
def test_change_at_a_terminal_requires_confirmation(run, filled, answer, state):
    row = filled.add("unknown")
    done = run("deliveries", "mark-delivered", str(row), stdin=f"{answer}\n".encode(), is_terminal=True)
    assert done.code == (0 if state == "settled" else 1)
    assert "go on? [y/N]" in done.err
    assert find_outcome(filled, row)[0] == state
