"""The shared timer wakes its members in order, never early, and forgets those that are done."""

import asyncio

from lykta_camera_sim.pacer import Pacer


class Member:
    """Wants to be woken at given instants, and notes when it was."""

    def __init__(self, dues, log, done=None):
        self.dues = list(dues)
        self.log = log
        self.done = done

    def advance(self, now):
        """Notes the instant."""
        due = self.dues.pop(0)
        assert now >= due
        self.log.append(due)
        if self.dues:
            return self.dues[0]
        if self.done:
            self.done.set()
        return None


async def test_members_are_woken_in_order():
    """Members wake by due time whatever order they were added in, and one that returns None is not woken again."""
    loop, log, done = asyncio.get_running_loop(), [], asyncio.Event()
    pacer = Pacer(loop)
    now = loop.time()
    late = Member([now + 0.03, now + 0.06], log, done)
    early = Member([now + 0.01, now + 0.04], log)
    pacer.add(late, late.dues[0])
    pacer.add(early, early.dues[0])
    await asyncio.wait_for(done.wait(), 5)
    assert log == sorted(log)
    assert len(log) == 4
    pacer.close()


async def test_a_member_that_is_always_due_does_not_block():
    """A member that asks for the past is woken once per round, so that others get their turn."""
    loop, log, done = asyncio.get_running_loop(), [], asyncio.Event()
    pacer = Pacer(loop)
    now = loop.time()
    greedy = Member([now - 1] * 50, log)
    other = Member([now], log, done)
    pacer.add(greedy, now - 1)
    pacer.add(other, now)
    await asyncio.wait_for(done.wait(), 5)
    assert log.count(now - 1) < 50
    pacer.close()


async def test_closing_wakes_nobody():
    """After closing, which may be repeated, nobody is woken and nothing is added."""
    loop, log = asyncio.get_running_loop(), []
    pacer = Pacer(loop)
    pacer.add(Member([loop.time()], log), loop.time())
    pacer.close()
    pacer.close()
    pacer.add(Member([loop.time()], log), loop.time())
    done = loop.create_future()
    loop.call_later(0.02, done.set_result, None)
    await done
    assert log == []
