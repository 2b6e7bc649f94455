# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
from __future__ import annotations

import base64
import html
import json
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hooks.http.redact import MASK, redact, redact_and_truncate
from tests.growth import assert_grows_linearly

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
def test_secret_is_masked_in_every_encoding(encode):
    assert redact(f"before {encode(SECRET)} after", [SECRET]).replace('"', "") == f"before {MASK} after"


@pytest.mark.parametrize(
    "echoed", ["WHSEC_L\u0130VE_T\u0130GER", "whsec_l\u0131ve_t\u0131ger", "wh\u017fec_live_tiger"]
)
def test_secret_is_masked_with_the_case_rules_of_any_language(echoed):
    assert redact(f"got {echoed}.", ["whsec_live_tiger"]) == f"got {MASK}."


@given(before=st.binary(max_size=20), after=st.binary(max_size=20), secret=st.text(min_size=12, max_size=40))
def test_secret_inside_base64_encoded_text_is_masked(before, after, secret):
    raw = secret.encode(errors="surrogatepass")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(before + raw + after).decode()
        shown = redact(whole, [secret])
        assert MASK in shown
        shown_characters = len(shown.replace(MASK, ""))
        assert shown_characters <= len(whole) - (len(raw) * 8 // 6 - 2), (
            "at most the characters shared with the neighbouring bytes are shown"
        )


def escape_with(template: str):
    """Return a function that replaces each character other than a letter or digit by the template."""
    return lambda text: "".join(c if c.isalnum() and c.isascii() else template.format(code=ord(c), c=c) for c in text)


def quote_twice(text: str) -> str:
    return quote(quote(text, safe=""), safe="")


@pytest.mark.parametrize(
    "encode",
    [
        pytest.param(lambda text: json.dumps(text).replace("/", r"\/")[1:-1], id="PHP's JSON"),
        pytest.param(escape_with(r"\u{code:04X}"), id=".NET's JSON"),
        pytest.param(escape_with(r"\u{code:04x}"), id="Gson"),
        pytest.param(escape_with(r"\x{code:02x}"), id="JavaScript"),
        pytest.param(escape_with("&#{code};"), id="Go's HTML"),
        pytest.param(escape_with("&#x{code:X};"), id="Mustache"),
        pytest.param(
            lambda text: text.replace("&", "&amp;").replace("+", "&plus;").replace("/", "&sol;"), id="named entities"
        ),
        pytest.param(quote_plus, id="form"),
        pytest.param(quote_twice, id="encoded twice"),
        pytest.param(lambda text: json.dumps(html.escape(quote(text)))[1:-1], id="a URL in HTML in JSON"),
    ],
)
def test_secret_is_masked_in_the_escapes_of_each_language(encode):
    secret = "s3cret+value/with=signs & <'quotes'>\""
    assert redact(f"before {encode(secret)} after", [secret]) == f"before {MASK} after"


@pytest.mark.parametrize("encode", [quote, lambda text: json.dumps(text)[1:-1], escape_with("&#{code};")])
@pytest.mark.parametrize("before", ["\\", "\\\\", "\\\\\\", "%", "&", "%5C", "\\u005c"])
def test_secret_is_masked_after_the_start_of_an_escape(encode, before):
    """If a backslash is plain text, the first byte or surrogate of a character is decoded after the others."""
    for secret in ("¡00000", "é+/&secret", "😀 a secret", ":0000\\", "é00\\00", ":a\\\\bcd"):
        shown = redact(f"{before}{encode(secret)}0", [secret])
        assert encode(secret) not in shown
        assert MASK in shown[-10:], shown


@pytest.mark.parametrize("characters", range(12, len(SECRET)))
def test_long_part_of_a_truncated_secret_is_masked(characters):
    assert redact(f"got {SECRET[:characters]}… ", [SECRET]) == f"got {MASK}… "
    assert redact(f"…{SECRET[-characters:]} ", [SECRET]) == f"…{MASK} "


@pytest.mark.parametrize("limit", range(60, 140))
def test_text_truncated_within_a_secret_shows_less_than_four_characters_of_it(limit):
    secret = "whsec_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"
    for echo in (
        secret,
        quote_twice(secret),
        base64.b64encode(secret.encode()).decode(),
        escape_with("&#{code};")(secret),
    ):
        shown = redact_and_truncate(f"{'.' * 60}{echo}{echo}", [secret], limit=limit)
        assert len(shown) <= limit
        assert not any(echo[at : at + 4] in shown for at in range(len(echo) - 4)), shown


@pytest.mark.parametrize(
    "text", ["%", r"\u00", "&#", "%41", r"\\", "s3cret+value/", "ab ", "&amp;", r"\ud83d", "%25"], ids=repr
)
def test_time_grows_linearly_with_the_text(text):
    values = [SECRET, *(f"another+secret/{number}=" for number in range(4))]
    assert_grows_linearly(lambda size: redact(text * (size // len(text)), values), start=20_000)


@given(text=st.text() | st.text("%4aé\\u00dx&#;amp\ud83d"), secret=st.text(min_size=4))
def test_secret_is_masked_in_any_text(text, secret):
    assert redact(text, [secret]).count(secret) <= MASK.count(secret) + text.count(MASK)
    assert redact(secret, [secret]) == MASK


def test_text_without_secrets_is_searched_quickly():
    secrets, text = [f"{number:064x}" for number in range(2_000)], "a plain answer " * 20
    started = time.process_time()
    for value in secrets:
        assert redact(text, [value]) == text
    assert time.process_time() - started < 1


def test_value_too_short_to_be_a_secret_is_not_masked():
    assert redact("abc abc", ["abc"]) == "abc abc"
