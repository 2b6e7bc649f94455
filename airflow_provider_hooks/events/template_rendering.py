# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Renders the template of a connection in Jinja's sandbox.

A template is written by those who may edit connections; the values of an event can come from anywhere. So a value is
never a template, reaches no attribute of a Python object, and cannot make a small event a large text: what pads or
repeats a text is not available, and neither are loops that no value bounds. Errors name the line and quote no value.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import orjson
from jinja2 import StrictUndefined, Template, TemplateSyntaxError, Undefined, UndefinedError
from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from airflow_provider_hooks.events.serialization import encode_json
from airflow_provider_hooks.exceptions import PayloadError
from airflow_provider_hooks.sanitize import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jinja2.runtime import Context

MAX_SECONDS = 5.0
"""How long a template may render; it is checked whenever the template writes something."""
_SUBJECT = "the template"
_FILTERS = frozenset(
    {
        *("abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "groupby", "int"),
        *("items", "join", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace"),
        *("reverse", "select", "selectattr", "sort", "string", "striptags", "sum", "title", "trim"),
        *("truncate", "unique", "upper", "urlencode", "wordcount"),
    }
)
"""The filters of Jinja that pad and repeat nothing; ``round`` and ``tojson`` are ours."""
_METHODS: Mapping[type, frozenset[str]] = {
    str: frozenset(
        {
            *("capitalize", "casefold", "count", "endswith", "find", "isalnum", "isalpha", "isdecimal", "isdigit"),
            *("islower", "isnumeric", "isspace", "isupper", "join", "lower", "lstrip", "partition", "removeprefix"),
            *("removesuffix", "replace", "rfind", "rpartition", "rsplit", "rstrip", "split", "splitlines"),
            *("startswith", "strip", "swapcase", "title", "upper"),
        }
    ),
    dict: frozenset({"get", "items", "keys", "values"}),
    list: frozenset({"count", "index"}),
}


def find_syntax_error(template: str) -> str | None:
    """Return what is wrong with the syntax of a template, with its line, or ``None``."""
    try:
        _compile(template)
    except TemplateSyntaxError as error:
        return f"line {error.lineno}: {escape(error.message or 'the syntax is wrong')}"
    except Exception as error:  # noqa: BLE001  (Jinja compiles to Python, which has limits too)
        return f"cannot be compiled: {type(error).__name__}"
    return None


def render(template: str, names: Mapping[str, object], *, max_payload_bytes: int, must_be_json: bool) -> bytes:
    """
    Return what a template makes of these names, in UTF-8.

    :raises PayloadError: if it fails, takes too long, or makes too much, or must make JSON and does not
    """
    try:
        body = b"".join(_bound(_compile(template).generate(names), max_payload_bytes))
    except PayloadError:
        raise
    except Exception as error:  # noqa: BLE001  (a template can raise any exception)
        raise PayloadError(_SUBJECT, {f"line {_find_line(error)}": _describe(error, template)}) from None
    if must_be_json:
        try:
            orjson.loads(body)
        except orjson.JSONDecodeError as error:
            place = f"line {error.lineno}, column {error.colno} of its result"
            problem = f"is not JSON: {error.msg.partition(':')[0]}; write values with {{{{ … | tojson }}}}"
            raise PayloadError(_SUBJECT, {place: problem}) from None
    return body


def _bound(parts: Iterator[str], limit: int) -> Iterator[bytes]:
    """Yield the parts of a result, until there are too many bytes, or they take too long."""
    give_up_at, size = time.monotonic() + MAX_SECONDS, 0
    for part in parts:
        encoded = part.encode()
        size += len(encoded)
        if size > limit:
            raise PayloadError(_SUBJECT, {"its result": f"has over max_payload_bytes={limit} bytes"})
        if time.monotonic() > give_up_at:
            raise PayloadError(_SUBJECT, {"its result": f"was not complete after {MAX_SECONDS:g} s"})
        yield encoded


def _find_line(error: BaseException) -> int:
    """Return the line of the template in which an exception was raised; 1 if it cannot be found."""
    line, frames = 1, error.__traceback__
    while frames is not None:
        if frames.tb_frame.f_code.co_filename == "<template>":
            line = frames.tb_lineno
        frames = frames.tb_next
    return line


def _describe(error: Exception, template: str) -> str:
    """Return what went wrong; of a message only a name that the template itself has, since others may be values."""
    if isinstance(error, UndefinedError):
        name = next((part for part in reversed(str(error).split("'")[1::2]) if part and part in template), None)
        return "uses a value that is not defined" if name is None else f"{escape(name)} is not defined"
    if isinstance(error, SecurityError):
        return "uses an attribute, a method or an operator that templates cannot use"
    return f"{type(error).__name__}"


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        """Calculate with numbers; a text times a number, or a power, can be of any size."""
        if operator == "**" or not all(isinstance(one, int | float) for one in (left, right)):
            raise SecurityError("not available")
        return cast("object", super().call_binop(context, operator, left, right))

    def is_safe_attribute(self, obj: object, attr: str, value: object) -> bool:  # noqa: ARG002  (Jinja's signature)
        """Return whether a template may use an attribute: the listed methods, and what a loop has."""
        if isinstance(obj, LoopContext):
            return not attr.startswith("_")
        return any(isinstance(obj, kind) and attr in names for kind, names in _METHODS.items())

    def wrap_str_format(self, value: object) -> None:
        """Treat ``str.format`` as any other method: it can pad a text to any length."""


def _to_json(value: object) -> str:
    if isinstance(value, Undefined):
        str(value)  # raises its error
    return encode_json(value).decode()


def _make_environment() -> _Environment:
    environment = _Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    environment.globals.clear()
    kept: dict[str, Callable[..., object]] = {name: environment.filters[name] for name in _FILTERS}
    environment.filters = {**kept, "round": round, "tojson": _to_json}
    return environment


_ENVIRONMENT = _make_environment()


@lru_cache(maxsize=16)
def _compile(template: str) -> Template:
    return _ENVIRONMENT.from_string(template)
