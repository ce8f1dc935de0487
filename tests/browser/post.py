"""The post office: the notification process writes the mails, real SMTP carries them, and the catcher keeps them."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from api import bootstrap
from api.embedded.catcher import MailCatcher
from api.embedded.mail import CaughtMail, list_mails
from tests.posting import react_after, send_due
from tests.services import Portal


@dataclass
class PostOffice:
    """The mails of one test."""

    portal: Portal
    catcher: MailCatcher
    mails: list[CaughtMail] = field(default_factory=list)
    """What came, oldest first."""
    read_up_to: int = 0
    known: set[str] = field(default_factory=set)

    def deliver(self, smtp_url: str | None = None) -> list[CaughtMail]:
        """Let the notification process work through what happened, and return the mails that came of it.

        Another SMTP server than the catcher may be named, such as one that does not answer.
        """
        w = self.portal.watchword
        self.read_up_to = react_after(w, self.read_up_to)
        mailer = bootstrap.mailer(replace(w.settings, smtp_url=smtp_url or self.catcher.url))

        async def send_all() -> None:
            while await send_due(w, mailer):
                pass
            await mailer.close()

        with ThreadPoolExecutor(1) as thread:  # an event loop of Playwright's runs in this one
            thread.submit(asyncio.run, send_all()).result(60)
        came = [mail for mail in reversed(list_mails(self.catcher.mail_dir)) if mail.id not in self.known]
        self.known |= {mail.id for mail in came}
        self.mails += came
        return came


def link_in(mail: CaughtMail) -> str:
    """Return the address in a mail that leads to a step of ours."""
    found = [link for link in mail.links if re.search(r"/(?:reset|unlock)/[^#\s]+#\S+|/sign-in#\S+", link)]
    assert len(found) == 1, mail.text
    return found[0]
