# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""The table of the tests has every built-in platform, with data that the platform accepts."""

from __future__ import annotations

import re

import pytest

from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.registries.model import Operation
from airflow_provider_hooks.registries.platforms import load_platforms
from airflow_provider_hooks.sandbox.state import APIS
from tests.registries.platform_data import PLATFORM_DATA, make_api, make_response


def test_every_built_in_platform_has_its_data_and_its_mock():
    built_in = {name for name, api in load_platforms().items() if api.__module__.startswith("airflow_provider_hooks.")}
    assert set(PLATFORM_DATA) == built_in == set(APIS)


@pytest.mark.parametrize("name", PLATFORM_DATA)
class TestData:
    def test_coordinates_are_those_of_the_connection(self, name):
        given = PLATFORM_DATA[name].coordinates
        patterns = {one.name: one.pattern for one in make_api(name).platform.coordinates}
        assert set(given) == set(patterns)
        assert all(re.fullmatch(patterns[key], value, re.ASCII) for key, value in given.items())

    def test_declaration_is_accepted_and_sets_every_field(self, name):
        api, spec = make_api(name), PLATFORM_DATA[name].spec
        assert api.expand(spec)
        assert all(getattr(spec, one) for one in api.fields - {"secret"})

    def test_events_are_accepted_and_include_a_set_of_several(self, name):
        api, events = make_api(name), PLATFORM_DATA[name].events
        known = [set(one) <= set(api.known_events) for one in events if api.known_events]
        assert all(known)
        assert not (api.known_events and api.example_events)
        assert len(set(events)) == len(events)
        assert len(events) == 1 or set(events[-1]) != set(PLATFORM_DATA[name].spec.events)
        assert max(map(len, events)) > 1 or api.single_event or "events" not in api.fields

    def test_documented_responses_are_read(self, name):
        api, data = make_api(name), PLATFORM_DATA[name]
        for content in (data.hook, *data.more_hooks):
            assert api.read_hook(api.get(data.unknown_id), make_response(content)).url == data.spec.url
        assert (data.page is not None) == (Operation.LIST in api.platform.operations)
        if data.page is not None:
            assert len(api.read_page(api.list_hooks(), make_response(data.page)).hooks) == 1

    def test_invalid_declarations_are_refused(self, name):
        assert PLATFORM_DATA[name].refused
        for spec, names in PLATFORM_DATA[name].refused:
            with pytest.raises(ValidationError) as caught:
                make_api(name).expand(spec)
            assert set(caught.value.problems) == names
