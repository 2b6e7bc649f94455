# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""aiohttp with as many workers as connections, on asyncio's own loop."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp
from common import CONNECTIONS, measured, prepare_by_hand, read_arguments, read_lines


async def send_all(arguments) -> int:
    lines, delivered = read_lines(arguments), 0
    context = ssl.create_default_context(cafile=arguments.ca) if arguments.ca else None

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal delivered
        for line in lines:
            headers, body = prepare_by_hand(line)
            async with session.post(arguments.url, data=body, headers=headers, ssl=context or True) as answer:
                delivered += answer.status == 204

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:
        await asyncio.gather(*(work(session) for _ in range(CONNECTIONS)))
    return delivered


def main() -> None:
    arguments = read_arguments()
    with measured(arguments):
        delivered = asyncio.run(send_all(arguments))
    assert delivered == arguments.count


if __name__ == "__main__":
    main()
