# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
The page of the receiver: what it got, newest first.

Everything on it can come from any sender, so every value is escaped, and the page loads nothing from elsewhere and runs
no script but its own file. Without JavaScript the browser loads the page again every few seconds.
"""

from __future__ import annotations

import html
import json
import re
from http import HTTPStatus
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from airflow_provider_hooks.http.redact import MASK
from airflow_provider_hooks.sandbox.state import NO_ANSWER, RECEIVER_PATH, UNSIGNED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_provider_hooks.sandbox.state import Received

MAX_SHOWN = 100
"""How many deliveries the page shows."""
PAGE_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
)
_FOLDER = Path(__file__).parent
ASSETS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "page.css": ((_FOLDER / "page.css").read_text(), "text/css"),
        "page.js": ((_FOLDER / "page.js").read_text(), "text/javascript"),
    }
)
"""The content and the media type of each file that the page loads."""
_PRETTY_CHARACTERS, _SHOWN_CHARACTERS, _MAX_LEVELS = 500_000, 20_000, 50
"""How long a body may be to be shown as indented JSON, and how much of a body is shown."""
_ROUTING_KEY = re.compile(r'("routing_key"\s*:\s*)"(?:[^"\\]|\\.)*"')
_COUNTS = MappingProxyType(
    {
        "received": "received",
        "verified": "verified",
        "delivered": "verified, answered 2xx",
        "duplicates": "duplicates",
        "registered": "registered hooks",
    }
)


def render_page(counts: Mapping[str, int], deliveries: Sequence[Received], *, address: str) -> str:
    """
    Return the page.

    :param counts: as ``SandboxState.count_deliveries`` returns them
    :param deliveries: oldest first
    :param address: host and port of the sandbox
    """
    shown = deliveries[: -MAX_SHOWN - 1 : -1]
    cards = "".join(_render_delivery(one, is_open=len(shown) == 1) for one in shown) or _render_empty(address)
    tiles = "".join(
        f'<div class="tile {name}"><dt>{_escape(title)}</dt><dd>{counts[name]:,}</dd></div>'
        for name, title in _COUNTS.items()
    )
    older = counts["received"] - len(shown)
    note = f'<p class="note">{older:,} older ones are not shown.</p>' if older > 0 else ""
    state = ",".join(str(counts[name]) for name in _COUNTS)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>({counts["received"]}) Sandbox receiver</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/assets/page.css">
<noscript><meta http-equiv="refresh" content="5"></noscript>
<script src="/assets/page.js" defer></script>
</head>
<body>
<header>
<h1>Sandbox receiver <span class="live" title="Updated every second">live</span></h1>
<p><code>POST http://{_escape(address)}{RECEIVER_PATH}/…</code>
<a href="/deliveries">JSON</a> <a href="/calls">API calls</a></p>
</header>
<main data-state="{state}">
<dl class="tiles">{tiles}</dl>
{cards}
{note}
</main>
</body>
</html>
"""


def _render_empty(address: str) -> str:
    url = _escape(f"http://{address}{RECEIVER_PATH}/airflow")
    return f"""<section class="empty">
<h2>No delivery yet</h2>
<p>Send one to <code>{url}</code>, or to a path that names the signing scheme,
such as <code>{RECEIVER_PATH}/github</code>.
<code>{RECEIVER_PATH}/{UNSIGNED}</code> accepts requests without a signature.</p>
<pre>airflow service-hooks deliver service_hook_default --message hi</pre>
</section>"""


def _render_delivery(one: Received, *, is_open: bool) -> str:
    facts = {
        "Received": one.received_at,
        "Delivery id": one.delivery_id,
        "Event id": one.event_id,
        "Path": one.path,
        "Not verified": one.reason,
        "Body": f"{one.body_bytes:,} bytes, SHA-256 {one.body_sha256}",
    }
    badges = [
        *(['<span class="badge again">redelivery</span>'] if one.redelivery else []),
        *(['<span class="badge again">duplicate</span>'] if one.duplicate else []),
        _render_answer(one.answered),
    ]
    return f"""<details class="delivery" id="delivery-{one.number}"{" open" if is_open else ""}>
<summary>
<span class="number">#{one.number}</span>
<span class="by">{_render_verdict(one)}</span>
<span class="type">{_escape(one.event_type or "no event type")}</span>
<span class="badges">{"".join(badges)}</span>
<time datetime="{_escape(one.received_at)}">{_escape(one.received_at[11:23])}</time>
</summary>
<div class="body">
{_render_pairs({name: text for name, text in facts.items() if text is not None})}
<h3>Body</h3>
<pre>{_escape_block(_format_body(one.body))}</pre>
<h3>Headers</h3>
{_render_pairs(one.headers)}
</div>
</details>
"""


def _render_answer(status: int) -> str:
    is_good = NO_ANSWER < status < HTTPStatus.BAD_REQUEST
    return f'<span class="badge {"good" if is_good else "bad"}">{status or "no response"}</span>'


def _render_verdict(one: Received) -> str:
    if one.verified:
        return f'<span class="verdict good">verified <b>{_escape(one.scheme or "")}</b></span>'
    if one.scheme == UNSIGNED:
        return '<span class="verdict plain">unsigned</span>'
    scheme = f" <b>{_escape(one.scheme)}</b>" if one.scheme else ""
    return f'<span class="verdict bad">not verified{scheme}</span>'


def _render_pairs(pairs: Mapping[str, str]) -> str:
    rows: Iterable[str] = (f"<dt>{_escape(name)}</dt><dd>{_escape(text)}</dd>" for name, text in pairs.items())
    return f'<dl class="pairs">{"".join(rows)}</dl>'


def _format_body(body: str) -> str:
    """Return a body as indented JSON if it is JSON of a usual size, and unchanged otherwise; in both cases bounded."""
    text = body
    if len(body) <= _PRETTY_CHARACTERS:
        try:
            content = json.loads(body)
            if (
                max(accumulate({"[": 1, "{": 1, "]": -1, "}": -1}.get(one, 0) for one in body), default=0)
                <= _MAX_LEVELS
            ):
                text = json.dumps(content, indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            text = body
    masked = _ROUTING_KEY.sub(rf'\1"{MASK}"', text)
    is_cut = len(masked) > _SHOWN_CHARACTERS
    return f"{masked[:_SHOWN_CHARACTERS]}\n… the rest is not shown" if is_cut else masked


def _escape(text: str) -> str:
    """Escape a text for HTML, in content and in a quoted attribute, and show what cannot be printed as an escape."""
    return html.escape("".join(map(_show, text)))


def _escape_block(text: str) -> str:
    """Escape a text that may have several lines."""
    return html.escape("".join(one if one in "\n\t" else _show(one) for one in text))


def _show(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
