# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Untrusted requests to a verifier: each is verified or refused with ``SignatureError``, and with no other error.

The headers are those of an HTTP server of the standard library, where a name may occur several times and bytes that are
not ASCII are decoded as Latin-1.
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
"""The number of signatures that fit into the longest header that is read."""
BODY = '{"message": "It bröke", "level": "error"}'.encode()
SIGNING = [scheme for scheme in SCHEMES.values() if scheme.signature_header and isinstance(scheme, Scheme)]
TIMED = [scheme for scheme in SIGNING if scheme.needs_timestamp]

every_scheme = pytest.mark.parametrize("scheme", SIGNING, ids=lambda scheme: scheme.name)
timed_scheme = pytest.mark.parametrize("scheme", TIMED, ids=lambda scheme: scheme.name)


def sign_headers(scheme: Scheme, *, body: bytes = BODY, timestamp: int = NOW) -> Message:
    headers = Message()
    for name, value in sign(scheme, body=body, secrets=[SECRET], delivery_id="d-1", timestamp=timestamp).items():
        headers[name] = value
    return headers


def replace(headers: Message, name: str | None, *values: str) -> Message:
    """Replace the values of a header."""
    del headers[name]
    for value in values:
        headers[name] = value
    return headers


def split_signature(scheme: Scheme, value: str) -> tuple[str, str]:
    """Split the value of a signature header into the part before the digest and the digest."""
    digest = value.rpartition(scheme.item_separator)[2].removeprefix(scheme.signature_prefix)
    return value[: -len(digest)], digest


def set_timestamps(scheme: Scheme, headers: Message, *texts: str) -> Message:
    """Replace the timestamp, in the header in which the scheme sends it."""
    if scheme.timestamp_header:
        return replace(headers, scheme.timestamp_header, *texts)
    times = [scheme.timestamp_prefix + text for text in texts]
    items = headers[scheme.signature_header].split(scheme.item_separator)[1:]
    return replace(headers, scheme.signature_header, scheme.item_separator.join([*times, *items]))


def assert_verified(scheme: Scheme, headers: Message, body: bytes = BODY, *, now: float = NOW) -> None:
    verify(scheme, headers=headers, body=body, secrets=[SECRET], now=now)


def assert_refused(scheme: Scheme, headers: Message, body: bytes = BODY, *, now: float = NOW) -> None:
    """Assert that a request is refused fast, with an error that contains neither the secret nor a signature."""
    started = time.thread_time()
    with pytest.raises(SignatureError) as caught:
        assert_verified(scheme, headers, body, now=now)
    assert time.thread_time() - started < 2
    shown = str(caught.value)
    assert len(shown) < 200
    _, real = split_signature(scheme, sign_headers(scheme)[scheme.signature_header])
    assert not any(part in shown for part in (SECRET, SECRET[6:], real))


Change = Callable[[str, str], list[str]]
"""Returns the new values of a header, from its prefix and its digest."""

CHANGES: dict[str, Change] = {
    "missing": lambda prefix, digest: [],
    "twice the same": lambda prefix, digest: [prefix + digest] * 2,
    "twice, the valid one first": lambda prefix, digest: [prefix + digest, prefix + "0" * len(digest)],
    "twice, the valid one last": lambda prefix, digest: ["", prefix + digest],
    "empty": lambda prefix, digest: [""],
    "blank": lambda prefix, digest: [" "],
    "only the prefix": lambda prefix, digest: [prefix],
    "only v1=": lambda prefix, digest: ["v1="],
    "only v1,": lambda prefix, digest: ["v1,"],
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
    "as many signatures as are read": lambda prefix, digest: [" ".join("x" * MOST_CANDIDATES)],
    "a header of 10 MB": lambda prefix, digest: [prefix + "0" * 10_000_000],
}


@every_scheme
class TestSignature:
    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
    def test_changed_signature_is_refused(self, scheme, change):
        headers = sign_headers(scheme)
        assert_refused(
            scheme,
            replace(
                headers, scheme.signature_header, *change(*split_signature(scheme, headers[scheme.signature_header]))
            ),
        )

    @pytest.mark.parametrize("case", [str.lower, str.upper, str.swapcase, str.title])
    def test_header_names_are_case_insensitive(self, scheme, case):
        headers = Message()
        for name, value in sign_headers(scheme).items():
            headers[case(name)] = value
        assert_verified(scheme, headers)

    def test_duplicate_signature_header_in_another_case_is_refused(self, scheme):
        headers = sign_headers(scheme)
        headers[scheme.signature_header.swapcase()] = headers[scheme.signature_header]
        assert_refused(scheme, headers)

    def test_unknown_signature_version_is_skipped_only_in_a_list_of_signatures(self, scheme):
        headers = sign_headers(scheme)
        value = headers[scheme.signature_header]
        items = (f"v9{scheme.signature_prefix[2:]}zzz", "v1a,abc", value)
        replace(headers, scheme.signature_header, scheme.item_separator.join(items))
        (assert_verified if scheme.several_signatures else assert_refused)(scheme, headers)

    def test_refusing_many_signatures_is_fast_with_many_secrets(self, scheme):
        secrets, headers = [OTHER] * 20, sign_headers(scheme)
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
    "superscript": "²", "4,301 digits": "1" * 4_301, "leading zeros": f"{'0' * 4_291}{NOW}", "hexadecimal": hex(NOW),
    "milliseconds": f"{NOW}000", "a fraction": f"{NOW}.0", "blank before": f" {NOW}", "blank after": f"{NOW} ",
    "line break": f"{NOW}\n", "two": f"{NOW},{NOW}", "NUL": f"{NOW}\x00", "lone surrogate": "\udcff",
}  # fmt: skip


@timed_scheme
class TestTimestamp:
    @pytest.mark.parametrize("text", TIMES.values(), ids=TIMES)
    def test_timestamp_that_is_not_whole_seconds_is_refused(self, scheme, text):
        """The invalid timestamp is signed, so that only parsing it can fail."""
        headers = set_timestamps(scheme, sign_headers(scheme), text)
        key = base64.b64decode(SECRET[6:]) if scheme.key_format == "whsec" else SECRET.encode()
        before = scheme.signed_content.removesuffix("{body}").replace("{id}", "d-1").replace("{timestamp}", text)
        content = before.encode(errors="surrogateescape") + BODY
        digest = hmac.digest(key, content, "sha256")
        encoded = digest.hex() if scheme.encoding == "hex" else base64.b64encode(digest).decode()
        assert_refused(
            scheme,
            replace(
                headers,
                scheme.signature_header,
                split_signature(scheme, str(headers[scheme.signature_header]))[0] + encoded,
            ),
        )

    @pytest.mark.parametrize("values", [(), (str(NOW), str(NOW)), (str(NOW), str(NOW + 1))], ids=len)
    def test_missing_or_duplicate_timestamp_is_refused(self, scheme, values):
        assert_refused(scheme, set_timestamps(scheme, sign_headers(scheme), *values))

    @pytest.mark.parametrize(("offset", "is_verified"), [(300, True), (301, False), (-300, True), (-301, False)])
    def test_timestamp_may_differ_by_300_seconds_and_not_by_301(self, scheme, offset, is_verified):
        headers = sign_headers(scheme, timestamp=NOW + offset)
        (assert_verified if is_verified else assert_refused)(scheme, headers)

    def test_changed_timestamp_is_refused_if_the_signature_covers_it(self, scheme):
        headers = set_timestamps(scheme, sign_headers(scheme), str(NOW + 1))
        (assert_refused if scheme.signs("timestamp") else assert_verified)(scheme, headers)


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
        ids=["re-serialised", "compact", "a blank", "a line break", "a byte order mark", "UTF-16", "empty"],
    )
    def test_changed_body_is_refused(self, scheme, other):
        assert_refused(scheme, sign_headers(scheme), other)

    @pytest.mark.parametrize("body", [b"", b"\xff\xfe\x00", b"\xc3\x28", b"\x00", b"{"], ids=repr)
    def test_body_is_never_parsed(self, scheme, body):
        assert_verified(scheme, sign_headers(scheme, body=body), body)
        assert_refused(scheme, sign_headers(scheme, body=body), body + b"\x00")

    def test_large_body_is_verified_in_linear_time(self, scheme):
        body = b"x" * 20_000_000
        headers = sign_headers(scheme, body=body)
        started = time.thread_time()
        assert_verified(scheme, headers, body)
        assert time.thread_time() - started < 4
        assert_refused(scheme, headers, body[:-1])


@every_scheme
def test_delivered_request_is_verified_only_unchanged_and_with_its_secret(scheme, sender):
    with raw_server(OK) as receiver:
        sender.connect(receiver.url, password=SECRET, scheme=scheme.name)
        assert sender.deliver().outcome == ("delivered", None)
    headers, body = split_request(receiver.requests[0])
    verify(scheme, headers=headers, body=body, secrets=[OTHER, SECRET])
    for changed in ({"body": body.replace(b"error", b"debug")}, {"secrets": [OTHER]}):
        with pytest.raises(SignatureError):
            verify(**{"scheme": scheme, "headers": headers, "body": body, "secrets": [SECRET], **changed})
