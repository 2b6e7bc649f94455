# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The slots of a task that delivers a list: the same on every try of a generation."""

from __future__ import annotations

import pytest

from airflow_provider_hooks._runtime.airflow import TaskStateClaimStore
from airflow_provider_hooks.delivery.claims import SLOTS_KEY, TaskSlots, name_slots, pin_slots
from airflow_provider_hooks.exceptions import ClaimLostError, RecordError, SlotsError
from tests.airflow_context import StateStore


def pin(store, slots, *, generation="1"):
    pin_slots(TaskStateClaimStore(store, SLOTS_KEY, TaskSlots), TaskSlots(generation=generation, slots=slots))


def test_slot_is_the_event_id_or_a_position():
    assert name_slots(["a", None, "b"]) == ("a", "position.1", "b")


def test_events_with_the_same_id_are_refused():
    with pytest.raises(SlotsError, match="have the same id, so nothing was sent: a"):
        name_slots(["a", None, "b", "a", None])


class TestPinning:
    def test_later_tries_with_the_same_slots_pass(self):
        store = StateStore()
        for _ in range(2):
            pin(store, ("a", "b"))
        assert store.get(SLOTS_KEY) == {"generation": "1", "slots": ["a", "b"]}

    @pytest.mark.parametrize("slots", [("a",), ("b", "a"), ("a", "c"), (), ("a", "b", "c")])
    def test_later_try_with_other_slots_is_refused(self, slots):
        store = StateStore()
        pin(store, ("a", "b"))
        with pytest.raises(SlotsError, match="at first: a, b"):
            pin(store, slots)

    def test_a_manual_clear_stores_new_slots(self):
        store = StateStore()
        pin(store, ("a", "b"))
        pin(store, ("c",), generation="2")
        assert store.get(SLOTS_KEY) == {"generation": "2", "slots": ["c"]}

    def test_a_try_that_was_superseded_before_it_stored_slots_sends_nothing(self):
        class LateStore(StateStore):
            def set(self, key, value, *, retention=None):
                """Drop the write, as Airflow does with that of a superseded try."""

        with pytest.raises(ClaimLostError):
            pin(LateStore(), ("a",))

    @pytest.mark.parametrize("stored", [{"generation": "1", "slots": 3}, {"slots": ["a"]}, [], "text"])
    def test_slots_that_a_user_edited_into_an_invalid_form_are_refused(self, stored):
        store = StateStore()
        store.set(SLOTS_KEY, stored)
        with pytest.raises(RecordError, match="cannot be read, so nothing is sent"):
            pin(store, ("a",))
