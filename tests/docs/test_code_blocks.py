# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""
Each code block of the docs is run, compiled or parsed; what is only shown is marked as ``text`` or ``http``.

| fence | what is checked |
| --- | --- |
| ``python`` | the blocks of a page are one Dag file, which Airflow imports without a network |
| ``bash`` | the syntax; the commands of Airflow, make, pip and ``python -m`` exist and take these arguments |
| ``json`` | the syntax; ``<!-- code: service_hook -->`` before it: it is the extra of such a connection |
| ``ini`` | the options exist, and those of ``[service_hooks]`` have valid values |
| ``yaml``, ``toml`` | the syntax |
| ``javascript``, ``go``, ``ruby`` | in ``docs/receivers`` only, where ``tests/receivers`` runs them |
| ``text``, ``http`` | nothing: output, or a format |

``<!-- code: compile -->`` before a ``python`` block: it is compiled only, since it needs what the tests lack.
"""

from __future__ import annotations

import configparser
import contextlib
import functools
import importlib.util
import io
import ipaddress
import json
import re
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import yaml
from airflow.cli.cli_parser import get_parser
from airflow.configuration import conf

from airflow_provider_hooks._runtime.compat import has_provider_commands
from airflow_provider_hooks.cli.__main__ import make_parser
from airflow_provider_hooks.connection_form import ConnectionFields
from airflow_provider_hooks.delivery.endpoint import read_endpoint
from airflow_provider_hooks.exceptions import ValidationError
from airflow_provider_hooks.registries.connection import read_registry
from airflow_provider_hooks.settings import OPTIONS, SECTION, parse_settings
from tests.docs.code_blocks import Block, Command, list_commands, read_page
from tests.docs.makefile import find_executable, list_make_targets
from tests.versions import needs_deadlines

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib
try:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # before Airflow 3.2
    from airflow.models.dagbag import DagBag
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

REPOSITORY = Path(__file__).parent.parent.parent
PAGES = [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md"))]

FENCES = "fences"

RUN_ELSEWHERE = {"javascript", "go", "ruby"}
SHOWN = {"text", "http"}
CONNECTIONS = ("service_hook", "service_hook_registry")
MARKERS = {"python": ("compile",), "json": CONNECTIONS}
"""The markers that a block may have, by its language."""
OF_OTHER_PROVIDERS = {"celery", "fab-db", "kubernetes", "permissions-cleanup", "roles", "sync-perm", "users"}
"""Groups of commands that Airflow has only with providers that the tests do not install."""
_BEFORE_PROGRAMS = {"!", "do", "else", "exec", "if", "nice", "nohup", "sudo", "then", "time", "until", "while"}
_SECRET = "whsec_c2VydmljZSBob29rcyBvZiB0aGUgc2FuZGJveA=="
"""A secret that each scheme can use."""
_EXTRAS = re.compile(r"(?:airflow[-_]provider[-_]hooks[^\[]*|\.)\[(?P<extras>[^\]]*)\].*")
_OUR_MODULES = ("airflow_provider_hooks", "benchmarks", "tests")
_VARIABLE = re.compile(r"AIRFLOW__SERVICE_HOOKS__(\w+)")


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix() if page.is_relative_to(REPOSITORY) else page.name


def find_blocks(page: Path, language: str) -> list[Block]:
    return [block for block in read_page(page).blocks if block.language == language]


def place(block: Block, line: int = 0) -> str:
    """Return the page and the line of a block's line, which counts from 0."""
    return f"{name_of(block.page)}:{block.line + line}"


# What may be a block


def find_wrong_fences(page: Path) -> list[str]:
    known = {*CHECKS, "python", *RUN_ELSEWHERE, *SHOWN}
    read = read_page(page)
    problems = [f"{name_of(page)}:{line}: the marker is not on the line before a fence" for line in read.stray_markers]
    for block in read.blocks:
        if block.language not in known:
            shown = f"'{block.language}'" if block.language else "no language"
            problems.append(f"{place(block, -1)}: the fence has {shown}; use one of {', '.join(sorted(known))}")
        elif block.language in RUN_ELSEWHERE and block.page.parent.name != "receivers":
            problems.append(f"{place(block, -1)}: {block.language} is run in docs/receivers only")
        if block.marker is not None and block.marker not in MARKERS.get(block.language, ()):
            problems.append(f"{place(block, -2)}: '{block.marker}' marks no {block.language or 'such'} block")
    return problems


# Python


def make_module(blocks: Sequence[Block]) -> str:
    """Return blocks as one file, in which each line has the number that it has on its page."""
    lines: list[str] = []
    for block in blocks:
        lines += [""] * (block.line - 1 - len(lines))
        lines += block.code.splitlines()
    return "\n".join(lines) + "\n"


def find_syntax_errors(block: Block) -> list[str]:
    try:
        compile(make_module([block]), name_of(block.page), "exec")
    except SyntaxError as error:
        return [f"{name_of(block.page)}:{error.lineno}: {error.msg}"]
    return []


def find_import_errors(page: Path, folder: Path) -> list[str]:
    """Have Airflow import the Python of a page as a Dag file, and return what is wrong with it."""
    blocks = [block for block in find_blocks(page, "python") if block.marker != "compile"]
    if not blocks:
        return []
    file = folder / f"{name_of(page).replace('/', '_').removesuffix('.md')}.py"
    file.write_text(make_module(blocks))
    found = DagBag(file, safe_mode=False)
    problems = [_point_to(page, file, error) for error in found.import_errors.values()]
    for dag in found.dags.values():
        json.dumps(DagSerialization.to_dict(dag))
    return problems


def _point_to(page: Path, file: Path, error: str) -> str:
    """Return an error of the import with the last line of the page that it names."""
    lines = re.findall(rf'File "[^"]*{re.escape(file.name)}", line (\d+)', error)
    text = error.strip().splitlines()[-1]
    return f"{name_of(page)}:{lines[-1] if lines else '?'}: {text}"


@pytest.fixture
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder of the test, connect to this machine only, and have Airflow report whole tracebacks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH", "100")
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def connect_here(sock: socket.socket, address: tuple[str, int] | str) -> None:
        if sock.family != socket.AF_UNIX and not ipaddress.ip_address(address[0]).is_loopback:
            raise OSError(f"the docs connect to {address[0]}")
        connect(sock, address)

    def resolve_here(host: str | None, *arguments: object, **more: object) -> object:
        if host not in {None, "", "localhost", "127.0.0.1", "::1"}:
            raise OSError(f"the docs resolve {host}")
        return resolve(host, *arguments, **more)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)


def find_wrong_python(page: Path, folder: Path) -> list[str]:
    """Return what is wrong with the Python of a page, whose file is written to a folder."""
    problems = [problem for block in find_blocks(page, "python") for problem in find_syntax_errors(block)]
    return problems or find_import_errors(page, folder)


# Commands


@functools.cache
def list_extras() -> frozenset[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return frozenset(project["optional-dependencies"])


@functools.cache
def load_parsers() -> tuple[object, object]:
    """Return the parser of Airflow, and that of ``python -m airflow_provider_hooks.cli``."""
    return get_parser(), make_parser()


def find_wrong_arguments(arguments: Sequence[str], *, is_ours: bool = False) -> list[str]:
    """Return what Airflow's parser, or that of our module, says of arguments."""
    of_airflow, of_module = load_parsers()
    if not is_ours and arguments[:1] and arguments[0] in OF_OTHER_PROVIDERS:
        return []
    if arguments[:1] == ["service-hooks"] and not has_provider_commands():
        is_ours = True
    output = io.StringIO()
    try:
        with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
            parsed = (of_module if is_ours else of_airflow).parse_args(list(arguments))
    except SystemExit as error:
        lines = [line.strip() for line in output.getvalue().splitlines() if "error: " in line]
        return [] if error.code == 0 else [lines[-1] if lines else f"exit status {error.code}"]
    if list(arguments[:2]) != ["connections", "add"]:
        return []
    return find_wrong_fields(parsed.conn_type, parsed.conn_extra, host=parsed.conn_host)


def find_wrong_fields(conn_type: str | None, extra: str | None, *, host: str | None = None) -> list[str]:
    """Return what is wrong with the extra, and the URL, of a connection of this provider."""
    if conn_type not in CONNECTIONS:
        return []
    try:
        fields = json.loads(extra or "{}")
    except ValueError as error:
        return [f"the extra is not JSON: {error}"]
    if not isinstance(fields, dict):
        return ["the extra is not a JSON object"]
    url = host if host and "$" not in host else "https://hooks.example.com/airflow"
    connection = ConnectionFields(conn_id="docs", host=url, password=_SECRET, extra=fields)
    try:
        if conn_type == "service_hook":
            read_endpoint(connection, default_timeout=10, read_variable=lambda _: _SECRET)
        else:
            read_registry(connection, default_timeout=10)
    except ValidationError as error:
        # The password is not shown in the docs, so a problem of it says nothing.
        return [f"{name}: {text}" for name, text in error.problems.items() if not name.startswith("password")]
    return []


def find_wrong_assignments(command: Command) -> list[str]:
    """Return the environment variables that name no option or connection of this provider."""
    problems = []
    for name, value in command.assignments.items():
        if name.startswith("AIRFLOW_CONN_") and value.startswith("{"):
            connection = json.loads(value)
            extra = json.dumps(connection.get("extra", {}))
            problems += find_wrong_fields(connection.get("conn_type"), extra, host=connection.get("host"))
    return problems


def find_wrong_make(arguments: Sequence[str]) -> list[str]:
    makefile = (REPOSITORY / "Makefile").read_text()
    problems = []
    for word in arguments:
        name, is_assigned, _ = word.partition("=")
        if is_assigned and not re.search(rf"\b{name}\b", makefile):
            problems.append(f"the Makefile has no variable {name}")
        elif not is_assigned and not word.startswith("-") and word not in list_make_targets():
            problems.append(f"make has no target {word}")
    return problems


def find_wrong_requirements(arguments: Sequence[str]) -> list[str]:
    """Return what is wrong with the arguments of pip, as far as the checkout knows."""
    problems = []
    for word in arguments:
        if found := _EXTRAS.fullmatch(word):
            wrong = sorted({extra.strip() for extra in found["extras"].split(",")} - list_extras())
            problems += [f"the package has no extra {extra}" for extra in wrong]
        if re.fullmatch(r"constraints[\w.-]*\.txt", word) and not (REPOSITORY / word).is_file():
            problems.append(f"there is no {word}")
    return problems


PROGRAMS: Mapping[str, Callable[[Sequence[str]], list[str]]] = {
    "airflow": find_wrong_arguments,
    "airflow_provider_hooks.cli": functools.partial(find_wrong_arguments, is_ours=True),
    "make": find_wrong_make,
    "pip": find_wrong_requirements,
    "$": lambda _: ["has a prompt; show the command alone"],
}
"""What finds the problems of a command's arguments, by its program."""


def find_program(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the program of a command, or the module that Python runs, and its arguments."""
    rest = list(words)
    while rest and rest[0] in _BEFORE_PROGRAMS:
        rest.pop(0)
    program, arguments = Path(rest[0]).name if rest else "", rest[1:]
    if program in {"docker", "kubectl"} and "airflow" in arguments:
        return "airflow", arguments[arguments.index("airflow") + 1 :]
    if re.fullmatch(r"python[\d.]*", program) and arguments[:1] == ["-m"]:
        program, arguments = arguments[1], arguments[2:]
    return program, arguments


def find_wrong_words(command: Command) -> list[str]:
    """Return what is wrong with a command, as far as its program is known."""
    program, arguments = find_program(command.words)
    if program in PROGRAMS:
        return PROGRAMS[program](arguments)
    is_ours = program.partition(".")[0] in _OUR_MODULES
    return [f"there is no module {program}"] if is_ours and importlib.util.find_spec(program) is None else []


def find_wrong_commands(block: Block) -> list[str]:
    done = subprocess.run(
        [find_executable("bash"), "-n"], input=block.code, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return [f"{place(block)}: {line}" for line in done.stderr.splitlines()]
    try:
        commands = list_commands(block.code)
    except ValueError as error:
        return [f"{place(block)}: {error}"]
    return [
        f"{place(block, command.line)}: {' '.join(command.words[:3])}: {problem}"
        for command in commands
        for problem in (*find_wrong_assignments(command), *find_wrong_words(command))
    ]


# Data


def find_wrong_json(block: Block) -> list[str]:
    try:
        json.loads(block.code)
    except ValueError as error:
        return [f"{place(block)}: is not JSON: {error}"]
    return [f"{place(block)}: {problem}" for problem in find_wrong_fields(block.marker, block.code)]


def find_wrong_options(block: Block) -> list[str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(block.code)
    except configparser.Error as error:
        return [f"{place(block)}: {error}"]
    ours = {option.name for option in OPTIONS}
    problems = []
    for section in parser.sections():
        described = (conf.configuration_description or {}).get(section, {}).get("options", {})
        known = ours if section == SECTION else {*described}
        problems += [f"[{section}] has no option {name}" for name in parser[section] if name not in known]
    given = {name: value for name, value in parser[SECTION].items() if "…" not in value} if SECTION in parser else {}
    # What another option needs, and a block need not show.
    needed = {"ledger_conn_id": "service_hook_ledger", "payload_keys": f"{'A' * 43}="}
    try:
        parse_settings({**needed, **given})
    except ValidationError as error:
        problems += [f"{name}: {problem}" for name, problem in error.problems.items()]
    return [f"{place(block)}: {problem}" for problem in problems]


def find_wrong_yaml(block: Block) -> list[str]:
    try:
        list(yaml.safe_load_all(block.code))
    except yaml.YAMLError as error:
        return [f"{place(block)}: {' '.join(str(error).split())}"]
    return []


def find_wrong_toml(block: Block) -> list[str]:
    try:
        tomllib.loads(block.code)
    except tomllib.TOMLDecodeError as error:
        return [f"{place(block)}: {error}"]
    return []


CHECKS: Mapping[str, Callable[[Block], list[str]]] = {
    "bash": find_wrong_commands,
    "ini": find_wrong_options,
    "json": find_wrong_json,
    "toml": find_wrong_toml,
    "yaml": find_wrong_yaml,
}
"""What finds the problems of a block, by its language; Python is checked page by page."""


def find_problems(page: Path, kind: str, folder: Path) -> list[str]:
    """Return what is wrong with the blocks of a kind, or with the fences of all, each with its page and line."""
    if kind == FENCES:
        return find_wrong_fences(page)
    if kind == "python":
        return find_wrong_python(page, folder)
    return [problem for block in find_blocks(page, kind) for problem in CHECKS[kind](block)]


def list_cases() -> Iterator[object]:
    for page in PAGES:
        shown = {block.language for block in read_page(page).blocks}
        for kind in (FENCES, *sorted(shown & {*CHECKS, "python"})):
            marks = [needs_deadlines] if kind == "python" and "DeadlineAlert" in page.read_text() else []
            yield pytest.param(page, kind, id=f"{name_of(page)}-{kind}", marks=marks)


@pytest.mark.parametrize(("page", "kind"), list_cases())
def test_the_blocks_of_a_page_work(page, kind, tmp_path, isolated):
    problems = find_problems(page, kind, tmp_path)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_environment_variables_name_existing_options(page):
    known = {option.name.upper() for option in OPTIONS}
    # Airflow reads the output of a command, or a secrets backend, by a suffix.
    named = {name.removesuffix("_CMD").removesuffix("_SECRET") for name in _VARIABLE.findall(page.read_text())}
    assert named <= known


# What must be found, by a page that is wrong

_IMPORT = "from airflow_provider_hooks.operators.delivery import DeliverEventOperator"
WRONG = {
    "an unknown language": ("```sh\nls\n```", FENCES, 1, "'sh'"),
    "no language": ("text\n\n```\nls\n```", FENCES, 3, "no language"),
    "a language of another folder": ("```go\nx\n```", FENCES, 1, "docs/receivers"),
    "a marker of another language": ("<!-- code: compile -->\n```json\n{}\n```", FENCES, 1, "'compile'"),
    "a marker without a fence": ("<!-- code: compile -->\n\n```python\n1\n```", FENCES, 1, "not on the line before"),
    "a syntax error": ("```python\n1 +\n```", "python", 2, "invalid syntax"),
    "a syntax error that is only compiled": ("<!-- code: compile -->\n```python\n\n1 +\n```", "python", 4, "invalid"),
    "a misspelt argument of a Dag": (
        '```python\nfrom airflow.sdk import DAG\n```\n\n```python\nDAG("a_dag", schedules="@daily")\n```',
        "python",
        6,
        "schedules",
    ),
    "a misspelt argument of an operator": (
        f"```python\n{_IMPORT}\n\nDeliverEventOperator(task_id='a', event_typ='a.b', data={{}})\n```",
        "python",
        4,
        "event_typ",
    ),
    "a call of another host": (
        "```python\nimport socket\n\nsocket.create_connection(('192.0.2.1', 80))\n```",
        "python",
        4,
        "192.0.2.1",
    ),
    "an open quote": ("```bash\necho 'x\n```", "bash", 2, "unexpected EOF"),
    "an unknown command": ("```bash\nairflow service-hooks delete x\n```", "bash", 2, "delete"),
    "an unknown option": ("```bash\nls |\n  airflow dags trigger x --config '{}'\n```", "bash", 3, "--config"),
    "an unknown option of a command in a command": ('```bash\necho "$(airflow version -q)"\n```', "bash", 2, "-q"),
    "a missing argument": ("```bash\nexport A=1; airflow dags trigger\n```", "bash", 2, "dag_id"),
    "an unknown choice": (
        "```bash\nairflow service-hooks deliveries list \\\n  --outcome lost\n```",
        "bash",
        2,
        "lost",
    ),
    "an unknown field of a connection": (
        """```bash\nairflow connections add a --conn-type service_hook \\\n --conn-extra '{"shceme": "none"}'\n```""",
        "bash",
        2,
        "did you mean scheme?",
    ),
    "an unknown field of a connection of the environment": (
        """```bash\nexport AIRFLOW_CONN_A='{"conn_type": "service_hook", "extra": {"schemes": "none"}}'\n```""",
        "bash",
        2,
        "did you mean scheme?",
    ),
    "an unknown target": ("```bash\n# first\nmake tests\n```", "bash", 3, "tests"),
    "an unknown variable of make": ("```bash\nmake test WORKRES=2\n```", "bash", 2, "WORKRES"),
    "an unknown extra": ("```bash\npip install 'airflow-provider-hooks[sentri]'\n```", "bash", 2, "sentri"),
    "an unknown extra of a checkout": ("```bash\n.venv/bin/pip install -e '.[dev,docz]'\n```", "bash", 2, "docz"),
    "an unknown file of constraints": ("```bash\npip install . -c constraints-airflow-2.txt\n```", "bash", 2, "no con"),
    "an unknown module": ("```bash\npython -m airflow_provider_hooks.sandbocks\n```", "bash", 2, "sandbocks"),
    "a prompt": ("```bash\n$ ls\n```", "bash", 2, "prompt"),
    "no JSON": ("```json\n{'a': 1}\n```", "json", 2, "is not JSON"),
    "an unknown field of an endpoint": (
        '<!-- code: service_hook -->\n```json\n{"timeuot": 5}\n```',
        "json",
        3,
        "did you mean timeout?",
    ),
    "an unknown platform": (
        '<!-- code: service_hook_registry -->\n```json\n{"platform": "lab", "organization": "a", "project": "b"}\n```',
        "json",
        3,
        "lab",
    ),
    "an unknown option of the provider": ("```ini\n[service_hooks]\ntimeuot = 5\n```", "ini", 2, "timeuot"),
    "a wrong value of an option": ("```ini\n[service_hooks]\ntimeout = long\n```", "ini", 2, "timeout"),
    "an unknown option of Airflow": ("```ini\n[core]\ntest_conection = Enabled\n```", "ini", 2, "test_conection"),
    "no YAML": ("```yaml\na: [\n```", "yaml", 2, "flow"),
    "no TOML": ("```toml\na = \n```", "toml", 2, "Invalid value"),
}
"""Pages, by what is wrong with them: the text, the kind of the test, and the line and a part of its error."""


@pytest.mark.parametrize("wrong", WRONG)
def test_error_in_a_code_block_is_reported_with_its_line(wrong, tmp_path, isolated):
    text, kind, line, part = WRONG[wrong]
    page = tmp_path / "a_page.md"
    page.write_text(text + "\n")
    (problem, *others) = find_problems(page, kind, tmp_path)
    assert others == []
    assert problem.startswith(f"a_page.md:{line}: ")
    assert part in problem


RIGHT = """
```bash
# It's a comment
source ~/settings.sh && airflow dags trigger orders --conf '{"a": "b"}' | tee log 2>&1
cat > a.txt <<'EOF'
airflow is not a command here; it's a text
EOF
for name in a b; do airflow variables get "$name"; done
AIRFLOW_HOME=/tmp kubectl exec deploy/api -- airflow version
airflow --help
airflow celery worker
make test WORKERS=2
```

<!-- code: service_hook -->
```json
{"scheme": "github", "secret_variable": "a_variable"}
```

- In a list:

  ```python
  value = 1
  ```

```python
assert value == 1
```

<!-- code: compile -->
```python
import a_module_that_is_not_there
```

```text
anything
```
"""


def test_correct_page_has_no_errors(tmp_path, isolated):
    page = tmp_path / "a_page.md"
    page.write_text(RIGHT)
    kinds = (FENCES, "python", *CHECKS)
    assert [problem for kind in kinds for problem in find_problems(page, kind, tmp_path)] == []
