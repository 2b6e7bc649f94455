# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import base64
import html
import json
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_hooks.http.redact import MASK, find_occurrences, redact

SECRET = "s3cret+value/with=signs & <ümlaut>"


@pytest.mark.parametrize(
    "encode",
    [
        str,
        str.upper,
        lambda text: quote(text, safe=""),
        lambda text: quote(text, safe="").lower(),
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
        lambda text: text.encode().hex(),
        json.dumps,
        html.escape,
    ],
)
def test_a_secret_is_masked_in_every_form_that_a_receiver_may_echo(encode):
    assert redact(f"before {encode(SECRET)} after", [SECRET]).replace('"', "") == f"before {MASK} after"


@pytest.mark.parametrize(
    "echoed", ["WHSEC_L\u0130VE_T\u0130GER", "whsec_l\u0131ve_t\u0131ger", "wh\u017fec_live_tiger"]
)
def test_a_secret_is_masked_whatever_case_another_language_gave_it(echoed):
    assert redact(f"got {echoed}.", ["whsec_live_tiger"]) == f"got {MASK}."


@given(before=st.binary(max_size=20), after=st.binary(max_size=20), secret=st.text(min_size=12, max_size=40))
def test_a_secret_within_a_text_that_was_base64_encoded_as_a_whole_is_masked(before, after, secret):
    raw = secret.encode(errors="surrogatepass")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(before + raw + after).decode()
        shown = redact(whole, [secret])
        assert MASK in shown
        told = len(shown.replace(MASK, ""))
        assert told <= len(whole) - (len(raw) * 8 // 6 - 2), "more than the characters shared with the neighbours"


@example(before="", secret="tok+en 1", places=[])
@example(before="%", secret="00token:", places=[7])
@given(
    before=st.text(max_size=12) | st.text("%0aé", max_size=4),
    secret=st.text(min_size=4, max_size=20) | st.text('aK9+/=_-% ß\u017f"&<é', min_size=4, max_size=20),
    places=st.lists(st.integers(0, 19), max_size=20),
)
def test_the_quick_look_finds_whatever_would_be_masked(before, secret, places):
    forms = [
        secret,
        secret.swapcase(),
        quote_plus(secret, errors="surrogatepass"),
        "".join(quote(one, safe="", errors="surrogatepass") if n in places else one for n, one in enumerate(secret)),
        json.dumps(secret)[1:-1],
        html.escape(secret),
        base64.b64encode(secret.encode(errors="surrogatepass")).decode(),
    ]
    for form in forms:
        if len(form) >= 4 and form.casefold() == form.lower():
            assert find_occurrences(before + form, [secret]) == (secret,)


def test_a_text_that_holds_nothing_is_looked_through_quickly():
    private, text = [f"{number:064x}" for number in range(2_000)], "a plain answer " * 20
    started = time.process_time()
    for value in private:
        assert redact(text, [value]) == text
    assert time.process_time() - started < 1


def test_what_is_too_short_to_be_a_secret_masks_nothing():
    assert redact("abc abc", ["abc"]) == "abc abc"
