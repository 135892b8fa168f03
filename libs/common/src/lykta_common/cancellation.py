"""Cancellation that a library swallows comes through all the same."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

ResultT = TypeVar("ResultT")


async def obeying(awaitable: Awaitable[ResultT]) -> ResultT:
    """Await, and raise CancelledError when this task is cancelled meanwhile, whatever comes out of it.

    Before Python 3.12 `asyncio.wait_for`, on which nats-py rests, drops a cancellation that arrives together with the
    result (bpo-37658); a loop around such a call then never ends. What a cancelled task does to clean up goes on.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        return await awaitable
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError
