"""The relay and the worker as programs of their own, beside real servers: from a fact to the mailbox, and killed on the way."""

import asyncio
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from api.bootstrap import Watchword
from api.embedded.catcher import MailCatcher
from api.embedded.mail import CaughtMail, list_mails
from domain.facts import Enabled, MailSent
from handlers.ports import Change
from tests.contract.plugs import origin
from tests.delivery.steps import Post, ask_reset, connected, in_the_log, messages, positions, serving, until
from tests.directory import address

_ROOT = Path(__file__).parents[2]


@dataclass
class Programs:
    """Starts Watchword's commands with this deployment's settings, and ends them with the test."""

    watchword: Watchword
    environ: dict[str, str]
    log: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, command: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            words = [sys.executable, "-m", "api.cli", command]
            program = subprocess.Popen(words, cwd=_ROOT, env=self.environ, stdout=log, stderr=log)
        self.started.append(program)
        return program

    def kill(self, program: subprocess.Popen[bytes]) -> None:
        assert program.poll() is None, self.log.read_text()
        program.kill()
        program.wait(10)

    def mail_is_queued(self) -> bool:
        return self.watchword.database.one("SELECT FROM mail_queue") is not None

    def mail_is_settled(self) -> bool:
        return self.watchword.database.one("SELECT FROM mail_queue WHERE state = 'sent'") is not None

    def end_leases(self) -> None:
        """Let the time pass for which a dead worker's mail is held."""
        self.watchword.database.run("UPDATE mail_queue SET next_try = now() WHERE state = 'pending'")


@contextmanager
def programs(watchword: Watchword, nats_url: str, smtp_url: str, folder: Path) -> Iterator[Programs]:
    settings = watchword.settings
    ours = {
        "DATABASE_URL": settings.need("database_url"),
        "NATS_URL": nats_url,
        "SMTP_URL": smtp_url,
        "DATA_DIR": str(settings.data_dir),
        "LEDGER_DIR": str(folder / "ledger"),
        "PORT": str(settings.port),
    }
    running = Programs(watchword, {**os.environ, **ours}, folder / "programs.log")
    try:
        yield running
    finally:
        for program in running.started:
            program.terminate()
        for program in running.started:
            try:
                program.wait(10)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait(10)


@pytest.fixture
def catcher(tmp_path: Path) -> Iterator[MailCatcher]:
    catcher = MailCatcher(tmp_path / "catcher")
    catcher.start()
    try:
        yield catcher
    finally:
        catcher.stop()


def caught(catcher: MailCatcher) -> list[CaughtMail]:
    return list_mails(catcher.mail_dir, to=address("dist-owner"))


def test_a_reset_that_was_asked_for_is_in_the_mailbox(
    watchword: Watchword, nats_url: str, catcher: MailCatcher, tmp_path: Path
) -> None:
    with programs(watchword, nats_url, catcher.url, tmp_path) as running:
        relay, worker = running.start("relay"), running.start("worker")
        envelope = ask_reset(watchword)
        until(lambda: bool(caught(catcher)))
        until(running.mail_is_settled)
        (mail,) = caught(catcher)
        reset_id = envelope.fact.reset_id  # type: ignore[attr-defined]
        secret = watchword.sockets.keys.link_secret(envelope.subject_id, reset_id)
        link = f"{watchword.settings.public_url}/reset/{reset_id}#{secret}"
        assert (mail.kind, mail.links) == ("reset_requested", (link,))
        again = ask_reset(watchword, "dist-admin")
        until(lambda: bool(list_mails(catcher.mail_dir, to=address("dist-admin"))))
        assert again.position > envelope.position
        for program in (relay, worker):
            program.terminate()
        assert (relay.wait(15), worker.wait(15)) == (0, 0), running.log.read_text()
        assert mail.links[0].partition("#")[2] not in running.log.read_text()
    assert len(caught(catcher)) == 1


def test_a_worker_that_is_killed_after_the_message_mails_all_the_same(
    watchword: Watchword, nats_url: str, catcher: MailCatcher, tmp_path: Path
) -> None:
    with programs(watchword, nats_url, catcher.url, tmp_path) as running:
        running.start("relay")
        first = running.start("worker")
        ask_reset(watchword)
        until(running.mail_is_queued)
        running.kill(first)
        running.end_leases()
        running.start("worker")
        until(running.mail_is_settled)
        mails = caught(catcher)
        assert len(mails) in {1, 2}
        assert len({(mail.message_id, mail.text, mail.date) for mail in mails}) == 1
    facts = [envelope.fact for envelope in watchword.store.read(0, 10_000)]
    assert sum(isinstance(fact, MailSent) for fact in facts) == 1


@dataclass
class Killing(Post):
    """An SMTP server that kills the sender when the first mail is in, before it says so."""

    victim: subprocess.Popen[bytes] | None = None

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 aiosmtpd's name
        if self.victim is not None:
            self.victim.kill()
            self.victim.wait(10)
            self.victim = None
        return await super().handle_DATA(server, session, envelope)


def test_a_worker_that_is_killed_while_it_sends_leaves_two_copies_of_one_mail(
    watchword: Watchword, nats_url: str, tmp_path: Path
) -> None:
    with serving(Killing()) as post, programs(watchword, nats_url, post.url, tmp_path) as running:
        assert isinstance(post, Killing)
        running.start("relay")
        post.victim = running.start("worker")
        ask_reset(watchword)
        until(lambda: len(post.taken) == 1)
        running.end_leases()
        running.start("worker")
        until(running.mail_is_settled)
        assert len(post.taken) == 2
        assert len(set(post.taken)) == 1


def test_a_relay_that_is_killed_while_it_publishes_loses_and_repeats_nothing(
    watchword: Watchword, nats_url: str, tmp_path: Path
) -> None:
    """Killed as soon as a window is noted, so that it dies in a later one; three times."""
    for account in range(30):
        change = Change(f"user_mfa:many-{account}", 0, [Enabled()] * 500, "dist")
        watchword.store.append(change, origin=origin())
    with programs(watchword, nats_url, "smtp://127.0.0.1:9", tmp_path) as running:
        for _ in range(3):
            before, relay = watchword.relay_position.get(), running.start("relay")
            until(functools.partial(_has_moved, watchword, before))
            running.kill(relay)
        assert watchword.relay_position.get() < watchword.store.last_position(), "it was killed on the way"
        running.start("relay")
        until(lambda: watchword.relay_position.get() == watchword.store.last_position())
    assert asyncio.run(published(watchword, nats_url)) == in_the_log(watchword)


def _has_moved(watchword: Watchword, before: int) -> bool:
    return watchword.relay_position.get() > before


async def published(watchword: Watchword, nats_url: str) -> list[int]:
    async with connected(watchword, nats_url) as (client, _):
        return positions(await messages(client))
