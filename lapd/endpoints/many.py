"""Many requests of one client at once: each goes its way, and what got no answer is told with its reasons."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from lapd.endpoints.client import Client
from lapd.errors import NoAnswerError

REASONS = 3
"""So many of the reasons why requests got no answer are told, the most frequent first."""


async def ask_all(client: Client, asking: Mapping[int, Callable[[], Awaitable[None]]]) -> dict[int, NoAnswerError]:
    """Ask everything, in order as far as the client's places go, and return why some, by number, got no answer.

    What takes an answer may itself raise that it is none.

    Args:
        client: that has been entered.
        asking: of each request, what sends it by that client and takes its answer.

    Raises:
        EndpointError: the endpoint cannot be used; what is under way is given up.
    """
    failed: dict[int, NoAnswerError] = {}

    async def ask(number: int, one: Callable[[], Awaitable[None]]) -> None:
        try:
            await one()
        except NoAnswerError as error:
            failed[number] = error

    tasks = [asyncio.ensure_future(ask(number, one)) for number, one in asking.items()]
    try:
        for task in tasks:
            await task
    finally:
        client.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return failed


def reasons(failed: Mapping[int, NoAnswerError]) -> str:
    """Why requests got no answer: the one reason, or the most frequent ones with how often each."""
    counts = Counter(map(str, failed.values())).most_common()
    if len(counts) == 1:
        return f"the first: {counts[0][0]}"
    told = [f"{count} times: {reason}" for reason, count in counts[:REASONS]]
    left = sum(count for _, count in counts[REASONS:])
    return " ".join([*told, *([f"{left} for other reasons."] if left else [])])
