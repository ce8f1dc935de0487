"""The mail catcher: every mail is kept as it came, for its owner's eyes alone."""

import smtplib
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest

from api.embedded.catcher import MailCatcher
from api.embedded.mail import list_mails, read_mail
from tests.platform.machine import of_folder, wait_for


@pytest.fixture
def catcher(tmp_path: Path) -> Iterator[MailCatcher]:
    server = MailCatcher(tmp_path / "data")
    server.start()
    yield server
    server.stop()


def letter(to: str, subject: str = "Réinitialisation") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "watchword@mail.example", to, subject
    message["Date"] = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    message["Message-ID"], message["Watchword-Kind"] = "<1@mail.example>", "reset_requested"
    message.set_content("Hello,\nopen https://watchword.example/reset/7#secret=a-b_c.\nBye")
    message.add_alternative("<p>Hello</p>", subtype="html")
    return message


def send(catcher: MailCatcher, *messages: EmailMessage) -> None:
    host, port = catcher.url.removeprefix("smtp://").split(":")
    with smtplib.SMTP(host, int(port), timeout=10) as connection:
        for message in messages:
            connection.send_message(message)


def test_a_mail_is_kept_with_what_a_reader_wants_to_know(catcher: MailCatcher) -> None:
    send(catcher, letter("jo@mail.example"))
    (mail,) = list_mails(catcher.mail_dir)
    assert read_mail(catcher.mail_dir, mail.id) == mail
    assert (mail.to, mail.subject, mail.kind) == (("jo@mail.example",), "Réinitialisation", "reset_requested")
    assert (mail.message_id, mail.date) == ("<1@mail.example>", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert mail.text.splitlines()[0] == "Hello,"
    assert mail.html.strip() == "<p>Hello</p>"
    assert mail.links == ("https://watchword.example/reset/7#secret=a-b_c",)


def test_the_newest_comes_first_and_one_address_can_be_asked_for(catcher: MailCatcher) -> None:
    send(catcher, letter("jo@mail.example", "1"), letter("kim@mail.example", "2"), letter("jo@mail.example", "3"))
    assert [mail.subject for mail in list_mails(catcher.mail_dir)] == ["3", "2", "1"]
    assert [mail.subject for mail in list_mails(catcher.mail_dir, to="JO@mail.example")] == ["3", "1"]
    assert [mail.subject for mail in list_mails(catcher.mail_dir, limit=1)] == ["3"]


def test_only_its_owner_can_read_a_mail(catcher: MailCatcher) -> None:
    send(catcher, letter("jo@mail.example"))
    assert stat.S_IMODE(catcher.mail_dir.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in catcher.mail_dir.iterdir()} == {0o600}


@pytest.mark.parametrize("mail_id", ["", "nothing", "../mail/1", "00000000000000000000-00000000"])
def test_an_unknown_mail_is_not_found(catcher: MailCatcher, mail_id: str) -> None:
    with pytest.raises(KeyError):
        read_mail(catcher.mail_dir, mail_id)


def test_a_mail_without_end_is_refused(catcher: MailCatcher) -> None:
    huge = letter("jo@mail.example")
    huge.add_attachment(b"x" * 1024 * 1024, maintype="application", subtype="octet-stream")
    with pytest.raises(smtplib.SMTPException, match="552"):
        send(catcher, huge)
    assert list_mails(catcher.mail_dir) == []


def test_a_killed_catcher_comes_back_at_its_address_with_its_mails(catcher: MailCatcher) -> None:
    send(catcher, letter("jo@mail.example"))
    url = catcher.url
    assert catcher.process is not None
    catcher.process.kill()
    wait_for(lambda: not catcher.is_running, 5, "the catcher is gone")
    catcher.start()
    assert catcher.url == url
    assert len(list_mails(catcher.mail_dir)) == 1
    catcher.stop()
    assert of_folder(catcher.data_dir) == {}
