# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import pytest

from airflow_provider_hooks.decorators.service_hook import SLOTS_KEY, name_slots, pin_slots
from airflow_provider_hooks.exceptions import SlotsError
from tests.airflow_context import StateStore


def test_a_slot_is_the_id_or_a_place_that_no_id_can_be():
    assert name_slots(["a", None, "b"]) == ("a", "position.1", "b")


def test_two_events_with_one_id_are_refused():
    with pytest.raises(SlotsError, match="have the same id, so nothing was sent: a"):
        name_slots(["a", None, "b", "a", None])


class TestHolding:
    def test_later_tries_with_the_same_slots_pass(self):
        store = StateStore()
        for _ in range(2):
            pin_slots(store, ("a", "b"), generation="1")
        assert store.get(SLOTS_KEY) == {"generation": "1", "slots": ["a", "b"]}

    @pytest.mark.parametrize("slots", [("a",), ("b", "a"), ("a", "c"), (), ("a", "b", "c")])
    def test_a_later_try_with_others_is_refused(self, slots):
        store = StateStore()
        pin_slots(store, ("a", "b"), generation="1")
        with pytest.raises(SlotsError, match="at first: a, b"):
            pin_slots(store, slots, generation="1")

    def test_a_person_who_clears_the_task_asks_anew(self):
        store = StateStore()
        pin_slots(store, ("a", "b"), generation="1")
        pin_slots(store, ("c",), generation="2")
        assert store.get(SLOTS_KEY) == {"generation": "2", "slots": ["c"]}

    def test_who_was_followed_before_the_slots_were_kept_sends_nothing(self):
        class LateStore(StateStore):
            def set(self, key, value, *, retention=None):
                """Airflow answers a write of a try that was followed while it was on its way."""

        with pytest.raises(SlotsError):
            pin_slots(LateStore(), ("a",), generation="1")

    def test_what_somebody_wrote_over_is_refused(self):
        store = StateStore()
        store.set(SLOTS_KEY, {"generation": "1", "slots": 3})
        with pytest.raises(SlotsError, match="at first: none"):
            pin_slots(store, ("a",), generation="1")
