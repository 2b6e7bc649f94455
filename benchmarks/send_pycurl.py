# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The airflow-provider-hooks authors
"""A bare pycurl multi loop, as its documentation shows it: events one by one, no checks, no records."""

from __future__ import annotations

from collections import deque

import pycurl
from common import CONNECTIONS, measured, prepare_by_hand, read_arguments, read_lines


def main() -> None:
    arguments = read_arguments()
    multi, free, delivered, active = pycurl.CurlMulti(), deque(), 0, 0
    for _ in range(CONNECTIONS):
        curl = pycurl.Curl()
        curl.setopt(pycurl.URL, arguments.url)
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.WRITEFUNCTION, lambda _part: None)
        if arguments.ca:
            curl.setopt(pycurl.CAINFO, arguments.ca)
        free.append(curl)
    with measured(arguments):
        lines = read_lines(arguments)
        line = next(lines, None)
        while line is not None or active:
            while free and line is not None:
                headers, body = prepare_by_hand(line)
                curl = free.popleft()
                curl.setopt(pycurl.POSTFIELDS, body)
                curl.setopt(pycurl.HTTPHEADER, [*(f"{name}: {value}" for name, value in headers.items()), "Expect:"])
                multi.add_handle(curl)
                active += 1
                line = next(lines, None)
            while multi.perform()[0] == pycurl.E_CALL_MULTI_PERFORM:
                pass
            queued = 1
            while queued:
                queued, done, failed = multi.info_read()
                assert not failed, failed
                for curl in done:
                    multi.remove_handle(curl)
                    free.append(curl)
                    active -= 1
                    delivered += curl.getinfo(pycurl.RESPONSE_CODE) == 204
            if active and not (free and line is not None):
                multi.select(1.0)
    assert delivered == arguments.count


if __name__ == "__main__":
    main()
