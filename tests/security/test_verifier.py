# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
What a stranger may send to whoever verifies: it passes as stated or is a ``SignatureError``, and nothing else.

The headers come as a server of the standard library hands them on, where one name may stand several times and bytes
that are no ASCII are Latin-1.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from email.message import Message

import pytest

from airflow_provider_hooks.signing import SCHEMES, Scheme, SignatureError, sign, verify
from tests.security.deliveries import split_request
from tests.servers import OK, raw_server

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + "QUJD" * 8
NOW = 1_700_000_000
MOST_CANDIDATES = 4_096
"""As many as fit the longest header that is read."""
BODY = '{"message": "It bröke", "level": "error"}'.encode()
SIGNING = [scheme for scheme in SCHEMES.values() if scheme.signature_header and isinstance(scheme, Scheme)]
TIMED = [scheme for scheme in SIGNING if scheme.needs_timestamp]

every_scheme = pytest.mark.parametrize("scheme", SIGNING, ids=lambda scheme: scheme.name)
timed_scheme = pytest.mark.parametrize("scheme", TIMED, ids=lambda scheme: scheme.name)


def signed(scheme: Scheme, *, body: bytes = BODY, timestamp: int = NOW) -> Message:
    headers = Message()
    for name, value in sign(scheme, body=body, secrets=[SECRET], delivery_id="d-1", timestamp=timestamp).items():
        headers[name] = value
    return headers


def replace(headers: Message, name: str | None, *values: str) -> Message:
    """Put these values in the place of a header's, under its own name."""
    del headers[name]
    for value in values:
        headers[name] = value
    return headers


def split(scheme: Scheme, value: str) -> tuple[str, str]:
    """Return the value of a signature header as what is before the digest, and the digest."""
    digest = value.rpartition(scheme.item_separator)[2].removeprefix(scheme.signature_prefix)
    return value[: -len(digest)], digest


def set_times(scheme: Scheme, headers: Message, *texts: str) -> Message:
    """Put these texts in the place of the time, wherever the scheme sends it."""
    if scheme.timestamp_header:
        return replace(headers, scheme.timestamp_header, *texts)
    times = [scheme.timestamp_prefix + text for text in texts]
    items = headers[scheme.signature_header].split(scheme.item_separator)[1:]
    return replace(headers, scheme.signature_header, scheme.item_separator.join([*times, *items]))


def check(scheme: Scheme, headers: Message, body: bytes = BODY, *, now: float = NOW) -> None:
    verify(scheme, headers=headers, body=body, secrets=[SECRET], now=now)


def refuse(scheme: Scheme, headers: Message, body: bytes = BODY, *, now: float = NOW) -> None:
    """Expect a refusal that is fast and quotes neither the secret nor a signature."""
    started = time.thread_time()
    with pytest.raises(SignatureError) as caught:
        check(scheme, headers, body, now=now)
    assert time.thread_time() - started < 2
    shown = str(caught.value)
    assert len(shown) < 200
    _, real = split(scheme, signed(scheme)[scheme.signature_header])
    assert not any(part in shown for part in (SECRET, SECRET[6:], real))


Change = Callable[[str, str], list[str]]
"""From a header's prefix and its digest to the values that stand in the place of both."""

CHANGES: dict[str, Change] = {
    "missing": lambda prefix, digest: [],
    "twice the same": lambda prefix, digest: [prefix + digest] * 2,
    "twice, the valid one first": lambda prefix, digest: [prefix + digest, prefix + "0" * len(digest)],
    "twice, the valid one last": lambda prefix, digest: ["", prefix + digest],
    "empty": lambda prefix, digest: [""],
    "blank": lambda prefix, digest: [" "],
    "prefix alone": lambda prefix, digest: [prefix],
    "v1= alone": lambda prefix, digest: ["v1="],
    "v1, alone": lambda prefix, digest: ["v1,"],
    "first 8 characters": lambda prefix, digest: [prefix + digest[:8]],
    "all but the last": lambda prefix, digest: [prefix + digest[:-1]],
    "one longer": lambda prefix, digest: [prefix + digest + "0"],
    "twice as long": lambda prefix, digest: [prefix + digest * 2],
    "upper case": lambda prefix, digest: [prefix + digest.upper()],
    "prefix in another case": lambda prefix, digest: [prefix.swapcase() + digest] if prefix else [],
    "another prefix": lambda prefix, digest: [f"v9={digest}"],
    "non-ASCII": lambda prefix, digest: [prefix + digest[:-1] + "é"],
    "full-width digits": lambda prefix, digest: [prefix + "０" * len(digest)],
    "lone surrogate": lambda prefix, digest: [prefix + digest[:-1] + "\udcff"],
    "NUL at the end": lambda prefix, digest: [prefix + digest + "\x00"],
    "folded": lambda prefix, digest: [prefix + "\r\n " + digest],
    "tab before": lambda prefix, digest: ["\t" + prefix + digest],
    "with a comma": lambda prefix, digest: [f"{prefix}{'0' * len(digest)},{prefix}{digest}"],
    "10,000 signatures": lambda prefix, digest: [" ".join([prefix + "0" * len(digest)] * 10_000)],
    "10,000 and then the valid one": lambda prefix, digest: [" ".join([prefix] * 10_000 + [prefix + digest])],
    "as many as are read": lambda prefix, digest: [" ".join("x" * MOST_CANDIDATES)],
    "a header of 10 MB": lambda prefix, digest: [prefix + "0" * 10_000_000],
}


@every_scheme
class TestSignature:
    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
    def test_another_one_is_refused(self, scheme, change):
        headers = signed(scheme)
        refuse(
            scheme, replace(headers, scheme.signature_header, *change(*split(scheme, headers[scheme.signature_header])))
        )

    @pytest.mark.parametrize("case", [str.lower, str.upper, str.swapcase, str.title])
    def test_names_of_headers_may_have_any_case(self, scheme, case):
        headers = Message()
        for name, value in signed(scheme).items():
            headers[case(name)] = value
        check(scheme, headers)

    def test_a_second_header_in_another_case_is_refused(self, scheme):
        headers = signed(scheme)
        headers[scheme.signature_header.swapcase()] = headers[scheme.signature_header]
        refuse(scheme, headers)

    def test_an_unknown_version_first_is_passed_over_only_where_a_header_carries_several(self, scheme):
        headers = signed(scheme)
        value = headers[scheme.signature_header]
        items = (f"v9{scheme.signature_prefix[2:]}zzz", "v1a,abc", value)
        replace(headers, scheme.signature_header, scheme.item_separator.join(items))
        (check if scheme.several_signatures else refuse)(scheme, headers)

    def test_refusing_as_many_as_are_read_is_fast_with_many_secrets_too(self, scheme):
        secrets, headers = [OTHER] * 20, signed(scheme)
        times = [] if scheme.timestamp_prefix is None else [f"{scheme.timestamp_prefix}{NOW}"]
        items = [*times, *"x" * (MOST_CANDIDATES - 20)]
        replace(headers, scheme.signature_header, scheme.item_separator.join(items))
        started = time.thread_time()
        with pytest.raises(SignatureError):
            verify(scheme, headers=headers, body=BODY, secrets=secrets, now=NOW)
        assert time.thread_time() - started < 2


TIMES = {
    "empty": "", "abc": "abc", "nan": "nan", "inf": "inf", "-inf": "-inf", "1e9": "1e9", "+": f"+{NOW}", "-": f"-{NOW}",
    "underscore": "1_700_000_000", "Arabic digits": "١٧٠٠٠٠٠٠٠٠", "full-width digits": "１７００００００００",
    "superscript": "²", "4,301 digits": "1" * 4_301, "4,301 noughts": f"{'0' * 4_291}{NOW}", "hexadecimal": hex(NOW),
    "milliseconds": f"{NOW}000", "a fraction": f"{NOW}.0", "blank before": f" {NOW}", "blank after": f"{NOW} ",
    "line's end": f"{NOW}\n", "two": f"{NOW},{NOW}", "NUL": f"{NOW}\x00", "lone surrogate": "\udcff",
}  # fmt: skip


@timed_scheme
class TestTime:
    @pytest.mark.parametrize("text", TIMES.values(), ids=TIMES)
    def test_one_that_is_no_whole_seconds_is_refused(self, scheme, text):
        """It is signed as it stands, so that only the reading of the time can refuse it."""
        headers = set_times(scheme, signed(scheme), text)
        key = base64.b64decode(SECRET[6:]) if scheme.key_format == "whsec" else SECRET.encode()
        before = scheme.signed_content.removesuffix("{body}").replace("{id}", "d-1").replace("{timestamp}", text)
        content = before.encode(errors="surrogateescape") + BODY
        digest = hmac.digest(key, content, "sha256")
        encoded = digest.hex() if scheme.encoding == "hex" else base64.b64encode(digest).decode()
        refuse(
            scheme,
            replace(
                headers, scheme.signature_header, split(scheme, str(headers[scheme.signature_header]))[0] + encoded
            ),
        )

    @pytest.mark.parametrize("values", [(), (str(NOW), str(NOW)), (str(NOW), str(NOW + 1))], ids=len)
    def test_a_missing_or_a_second_one_is_refused(self, scheme, values):
        refuse(scheme, set_times(scheme, signed(scheme), *values))

    @pytest.mark.parametrize(("off", "passes"), [(300, True), (301, False), (-300, True), (-301, False)])
    def test_it_may_be_300_seconds_off_and_not_301_either_way(self, scheme, off, passes):
        headers = signed(scheme, timestamp=NOW + off)
        (check if passes else refuse)(scheme, headers)

    def test_another_time_than_was_signed_is_refused_where_it_is_signed(self, scheme):
        headers = set_times(scheme, signed(scheme), str(NOW + 1))
        (refuse if scheme.signs("timestamp") else check)(scheme, headers)


@every_scheme
class TestBody:
    @pytest.mark.parametrize(
        "other",
        [
            json.dumps(json.loads(BODY)).encode(),
            json.dumps(json.loads(BODY), ensure_ascii=False, separators=(",", ":")).encode(),
            BODY.replace(b"{", b"{ "),
            BODY + b"\n",
            b"\xef\xbb\xbf" + BODY,
            BODY.decode().encode("utf-16"),
            b"",
        ],
        ids=["re-serialised", "compact", "a blank", "a line's end", "a byte order mark", "UTF-16", "empty"],
    )
    def test_another_one_is_refused(self, scheme, other):
        refuse(scheme, signed(scheme), other)

    @pytest.mark.parametrize("body", [b"", b"\xff\xfe\x00", b"\xc3\x28", b"\x00", b"{"], ids=repr)
    def test_it_is_never_parsed(self, scheme, body):
        check(scheme, signed(scheme, body=body), body)
        refuse(scheme, signed(scheme, body=body), body + b"\x00")

    def test_the_time_for_a_large_one_grows_with_its_size_only(self, scheme):
        body = b"x" * 20_000_000
        headers = signed(scheme, body=body)
        started = time.thread_time()
        check(scheme, headers, body)
        assert time.thread_time() - started < 4
        refuse(scheme, headers, body[:-1])


@every_scheme
def test_what_the_sender_sends_is_verified_at_once_and_neither_changed_nor_by_another_secret(scheme, sender):
    with raw_server(OK) as receiver:
        sender.connect(receiver.url, password=SECRET, scheme=scheme.name)
        assert sender.deliver().ended == ("delivered", None)
    headers, body = split_request(receiver.requests[0])
    verify(scheme, headers=headers, body=body, secrets=[OTHER, SECRET])
    for changed in ({"body": body.replace(b"error", b"debug")}, {"secrets": [OTHER]}):
        with pytest.raises(SignatureError):
            verify(**{"scheme": scheme, "headers": headers, "body": body, "secrets": [SECRET], **changed})
