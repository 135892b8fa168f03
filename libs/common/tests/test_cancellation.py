"""Cancellation comes through whatever a library does with it."""

import asyncio

import pytest
from lykta_common.cancellation import obeying


@pytest.mark.parametrize("outcome", [1, OSError("gone")])
async def test_a_cancellation_that_arrives_with_the_outcome_ends_the_task(outcome: object) -> None:
    """Neither a result nor an error that comes in the same moment keeps a cancelled task going."""
    future: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def loop_around() -> None:
        while True:
            try:
                await obeying(asyncio.wait_for(future, 10))
            except OSError:
                continue

    task = asyncio.create_task(loop_around())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if isinstance(outcome, OSError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_deadline_around_it_is_still_a_deadline() -> None:
    """The cancellation by which a deadline ends its block is told as TimeoutError, as ever."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await obeying(asyncio.Event().wait())
    assert await obeying(asyncio.sleep(0, "value")) == "value"


async def test_a_cancelled_task_may_clean_up() -> None:
    """In the cleanup of a cancelled task the same calls come to their end."""
    done: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            done.append(await obeying(asyncio.sleep(0, "cleaned")))

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["cleaned"]
