"""The notification process: a fact that somebody has to hear of owes one mail, and what the mail says."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from api.bootstrap import Watchword, projector
from domain.facts import (
    AccountDisabled,
    AccountErased,
    Disabled,
    Enabled,
    Enforced,
    Factor,
    Initiator,
    Locked,
    MailOwed,
    Population,
    Purpose,
    ResetConfirmed,
    SignInLocked,
    Verified,
)
from domain.kernel import Fact
from handlers import letters
from handlers.ports import Mail, PersonErased, QueuedMail
from tests.contract.plugs import at_once
from tests.delivery.steps import Post, append, ask_reset, react, requeue_all, send, serving
from tests.directory import address

ADMINISTRATORS = ["dist-admin", "dist-admin2", "dist-owner", "dist-super_admin"]
_LINK = re.compile(r"http://[^\s\"<]+#([\w-]{43})(?![\w-])")
_LATER = timedelta(hours=1)


def owed(watchword: Watchword) -> list[MailOwed]:
    facts = [envelope.fact for envelope in watchword.store.read(0, 10_000)]
    return [fact for fact in facts if isinstance(fact, MailOwed)]


def test_one_fact_owes_one_mail_however_often_its_message_comes(watchword: Watchword) -> None:
    envelope = ask_reset(watchword)
    assert [react(watchword, envelope) for _ in range(3)] == [1, 0, 0]
    (mail,) = owed(watchword)
    assert (mail.account_id, mail.because, mail.kind.value) == ("dist-owner", envelope.position, "reset_requested")


def test_one_message_that_eight_workers_get_at_once_owes_one_mail(watchword: Watchword) -> None:
    for account_id in ("dist-owner", "dist-admin", "dist-support"):
        envelope = ask_reset(watchword, account_id)
        at_once(8, lambda _, envelope=envelope: react(watchword, envelope))  # type: ignore[misc]
    assert sorted(mail.account_id for mail in owed(watchword)) == ["dist-admin", "dist-owner", "dist-support"]
    row = watchword.database.one("SELECT count(*) AS mails FROM mail_queue")
    assert row == {"mails": 3}


def test_what_nobody_has_to_hear_of_owes_nothing(watchword: Watchword) -> None:
    signed_in = Verified(purpose=Purpose.SIGN_IN, time_step=1, gives_back=0)
    for fact in (Enabled(), signed_in, Disabled(was=Factor.PENDING)):
        assert react(watchword, append(watchword, "user_mfa:dist-owner", fact)) == 0
    assert owed(watchword) == []


def test_an_enforcement_owes_one_mail_to_each_administrator(watchword: Watchword) -> None:
    append(watchword, "account:resell-admin", AccountDisabled(), tenant="resell")
    for partner, people in (
        ("dist", ADMINISTRATORS),
        ("resell", ["resell-owner", "resell-super_admin", "three-resell"]),
    ):
        fact = Enforced(population=Population.PARTNER_USERS)
        envelope = append(watchword, f"partner_policy:{partner}", fact, tenant=partner)
        assert (react(watchword, envelope), react(watchword, envelope)) == (len(people), 0)
        mails = [mail for mail in owed(watchword) if mail.because == envelope.position]
        assert sorted(mail.account_id for mail in mails) == people
        with serving(Post()) as post:
            while send(watchword, post):
                pass
        assert sorted(str(mail["To"]) for mail in post.mails) == sorted(map(address, people))
        assert len({mail["Message-ID"] for mail in post.mails}) == len(people)


def _verified() -> Fact:
    return Verified(purpose=Purpose.SETUP, time_step=1, gives_back=0)


@pytest.mark.parametrize(
    ("fact", "kind", "link"),
    [
        (_verified, "mfa_activated", None),
        (lambda: Disabled(was=Factor.ACTIVE), "mfa_switched_off", None),
        (lambda: Locked(until=None), "locked", None),
        (lambda: SignInLocked(until=None, unlock_id="link-1"), "locked", "unlock"),
        (lambda: ResetConfirmed(by=Initiator.PERSON, reset_id="link-1"), "mfa_reset", None),
        (lambda: ResetConfirmed(by=Initiator.ADMINISTRATOR, reset_id="link-1"), "reset_by_administrator", "reset"),
        (lambda: Enforced(population=Population.ORGANIZATIONS), "enforced", None),
    ],
)
def test_each_kind_of_mail_holds_no_secret_but_that_of_its_link(
    watchword: Watchword, fact: Callable[[], Fact], kind: str, link: str | None
) -> None:
    append(watchword, "user_mfa:dist-owner", Enabled())
    streams = {"enforced": "partner_policy:dist"}
    assert react(watchword, append(watchword, streams.get(kind, "user_mfa:dist-owner"), fact())) >= 1
    with serving(Post()) as post:
        while send(watchword, post):
            pass
    mail = next(mail for mail in post.mails if mail["To"] == address("dist-owner"))
    assert (mail["Watchword-Kind"], mail["Auto-Submitted"]) == (kind, "auto-generated")
    text, html = (str(part.get_payload(decode=True), "utf-8") for part in mail.get_payload())  # type: ignore[union-attr, arg-type]
    for body in (text, html):
        assert "Dist Owner" in body
        assert "Dist Inc" in body
        assert len(_LINK.findall(body)) == (1 if link else 0)
        assert ("http" in body) == bool(link)
        if link:
            secret = watchword.sockets.keys.link_secret("dist-owner", "link-1")
            assert f"{watchword.settings.public_url}/{link}/link-1#{secret}" in body


def test_the_database_holds_the_hash_of_a_links_secret_alone(watchword: Watchword) -> None:
    envelope = ask_reset(watchword)
    react(watchword, envelope)
    with serving(Post()) as post:
        assert send(watchword, post) == "sent"
    (secret,) = set(_LINK.findall(text_of(post)))
    link = watchword.sockets.links.find(envelope.fact.reset_id)  # type: ignore[attr-defined]
    assert link is not None
    assert link.account_id == "dist-owner"
    assert link.secret_hash == watchword.sockets.keys.digest("link hash", secret)
    tables = ("mail_queue", "mailed_link", "processed_message", "stored_events", "command")
    for table in tables:
        rows = watchword.database.all(f"SELECT * FROM {table}")  # noqa: S608 our own names
        assert secret not in repr(rows)


def text_of(post: Post) -> str:
    (mail,) = post.mails
    part = mail.get_payload(0)
    return str(part.get_payload(decode=True), "utf-8")  # type: ignore[union-attr, arg-type]


def test_a_mail_to_who_has_no_address_any_more_is_given_up(watchword: Watchword) -> None:
    react(watchword, ask_reset(watchword, "dist-support"))
    append(watchword, "account:dist-support", AccountErased(), rows=[PersonErased("dist-support")])
    with serving(Post()) as post:
        assert send(watchword, post) == "given_up"
    assert post.taken == []


def test_the_same_letter_written_twice_is_the_same(watchword: Watchword) -> None:
    react(watchword, ask_reset(watchword))
    account = watchword.sockets.people.account("dist-owner")
    assert account is not None

    def write(mail: QueuedMail) -> Mail:
        return letters.letter(mail, account, "secret", watchword.sockets.rules)

    (first,) = watchword.queue.due(watchword.sockets.clock.now() + _LATER, timedelta(0), 5)
    (second,) = watchword.queue.due(watchword.sockets.clock.now() + _LATER, timedelta(0), 5)
    assert write(first) == write(second)


def test_the_mail_view_follows(watchword: Watchword) -> None:
    envelope = ask_reset(watchword)
    react(watchword, envelope)
    watching = projector(watchword)

    def row() -> dict[str, object]:
        while watching.step():
            pass
        found = watchword.database.one("SELECT * FROM mail_state WHERE account_id = 'dist-owner'")
        assert found is not None
        return {name: found[name] for name in ("partner_id", "kind", "because", "state", "tries", "error")}

    try:
        start = {"partner_id": "dist", "kind": "reset_requested", "because": envelope.position}
        assert row() == {**start, "state": "owed", "tries": 0, "error": ""}
        with serving(Post(["550 no such box"])) as post:
            assert send(watchword, post) == "given_up"
            assert row() == {**start, "state": "given_up", "tries": 1, "error": "SMTPDataError 550"}
            requeue_all(watchword)
            assert row() == {**start, "state": "owed", "tries": 0, "error": ""}
            assert send(watchword, post) == "sent"
            assert row() == {**start, "state": "sent", "tries": 1, "error": ""}
    finally:
        watching.close()
