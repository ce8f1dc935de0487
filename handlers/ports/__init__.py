"""The sockets: what the handlers need from outside, in their own words."""

from handlers.ports.log import Change, Conflict, EventStore, Known, Origin, Row, Unavailable
from handlers.ports.machine import Chance, Clock, Rules, Sockets
from handlers.ports.mail import Broker, Mail, MailDelayed, MailQueue, MailRefused, MailReturned, MailSettled, Mailer, MessageProcessed, QueuedMail
from handlers.ports.people import AccountEntry, AddressTaken, Credential, PasswordKept, People, PersonErased, PersonKept, StillAllowed
from handlers.ports.secrets import Keys, Passwords, SecretKept, SecretsEnded, Unreadable, Vault
from handlers.ports.sessions import Session, SessionClosed, SessionEnded, SessionStands, SessionOpened, Sessions
from handlers.ports.throttle import Limit, Link, LinkUsed, Links, Reservation, Throttle

__all__ = [
    "AccountEntry",
    "AddressTaken",
    "Broker",
    "Chance",
    "Change",
    "Clock",
    "Conflict",
    "Credential",
    "EventStore",
    "Keys",
    "Known",
    "Limit",
    "Link",
    "LinkUsed",
    "Links",
    "Mail",
    "MailDelayed",
    "MailQueue",
    "MailRefused",
    "MailReturned",
    "MailSettled",
    "Mailer",
    "MessageProcessed",
    "Origin",
    "PasswordKept",
    "Passwords",
    "People",
    "PersonErased",
    "PersonKept",
    "QueuedMail",
    "Reservation",
    "Row",
    "Rules",
    "SecretKept",
    "SecretsEnded",
    "Session",
    "SessionClosed",
    "SessionEnded",
    "SessionStands",
    "SessionOpened",
    "Sessions",
    "Sockets",
    "StillAllowed",
    "Throttle",
    "Unavailable",
    "Unreadable",
    "Vault",
]
