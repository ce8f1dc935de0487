"""The notification process, step by step: what a test lets it do without the worker around it."""

from collections.abc import Sequence

from api.bootstrap import Watchword
from domain.kernel import Envelope
from handlers import mailing, notices
from handlers.mailing import Tried
from handlers.ports import Mailer


def react(watchword: Watchword, envelopes: Sequence[Envelope]) -> int:
    """Owe what the facts call for, and return how many mails that are."""
    return notices.react(envelopes, watchword.sockets, watchword.queue)


def react_after(watchword: Watchword, position: int) -> int:
    """React to everything after a position, and return the last one."""
    while page := watchword.store.read(position, 500):
        react(watchword, page)
        position = page[-1].position
    return position


async def send_due(watchword: Watchword, mailer: Mailer, limit: int = 100) -> list[Tried]:
    """Try the mails that are due, one after the other, and return what became of them."""
    taken = mailing.take(watchword.sockets, watchword.queue, limit)
    tried = [await mailing.attempt(each, mailer) for each in taken]
    mailing.settle(tried, watchword.sockets, watchword.queue)
    return tried
