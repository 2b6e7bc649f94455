# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""``python -m airflow_provider_hooks.cli``: the commands, for Airflow 3.1, where ``airflow`` lacks them."""

from __future__ import annotations

from argparse import ArgumentParser, RawTextHelpFormatter
from typing import TYPE_CHECKING

from airflow.cli.cli_config import GroupCommand

from airflow_provider_hooks.cli.commands import get_service_hooks_cli_commands

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.cli.cli_config import CLICommand


def make_parser() -> ArgumentParser:
    """Return a parser for the same words as those after ``airflow``."""
    parser = ArgumentParser(prog="python -m airflow_provider_hooks.cli")
    _add_commands(parser, get_service_hooks_cli_commands())
    return parser


def _add_commands(parser: ArgumentParser, commands: Iterable[CLICommand]) -> None:
    added = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in commands:
        made = added.add_parser(
            command.name,
            help=command.help,
            description=command.description or command.help,
            epilog=command.epilog,
            formatter_class=RawTextHelpFormatter,
        )
        if isinstance(command, GroupCommand):
            _add_commands(made, command.subcommands)
        else:
            for argument in command.args:
                argument.add_to_parser(made)
            made.set_defaults(func=command.func)


def main() -> None:
    """Run a command."""
    args = make_parser().parse_args()
    args.func(args)


if __name__ == "__main__":
    main()
