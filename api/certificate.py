"""The coverage certificate: who had to use MFA between two dates, and every second without it; signed like the ledger."""

import json
import mmap
import os
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from itertools import islice
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from api.bootstrap import LEDGER_KEY, Watchword, ledger
from domain.facts import Population
from handlers.ledger import Ledger
from projections.coverage import PAGE, TICK, Cause, Covered, Demands, Span, Stretch, coverage, demands

KIND = "watchword.coverage_certificate.v1"
ERASED = "erased account"
SHOWN = 1_000
"""Gaps that are shown to people; the JSON has all of them."""
HOW_TO_CHECK = (
    "Take the member signature away and write the rest as JSON in UTF-8, with sorted keys, without spaces, and with no"
    " letter escaped that need not be: those bytes are signed with Ed25519. Compare the verifier's line with the one that"
    " you were given earlier, and the checkpoint by watchword audit verify --against. To run the query again gives the"
    " same figures; names are those of the day on which it was made."
)
_DAY = timedelta(days=1) // TICK
_SECOND = timedelta(seconds=1) // TICK


class Sums:
    """What all accounts of a span come to, and each of its days (UTC)."""

    def __init__(self, span: Span) -> None:
        self.accounts = self.without_gap = self.covered = 0
        self.gaps = {cause: [0, 0] for cause in Cause}
        """Number and ticks of the gaps with each cause."""
        self._first = span.t0.date()
        self._midnight = (span.t0 - datetime.combine(self._first, time.min, UTC)) // TICK
        self._parts: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
        self._steps: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}

    @property
    def required(self) -> int:
        """For how many ticks MFA was demanded, of all accounts together."""
        return self.covered + sum(ticks for _, ticks in self.gaps.values())

    def add(self, account: Covered) -> None:
        """Count an account in."""
        self.accounts += 1
        self.without_gap += all(each.active for each in account.stretches)
        for each in account.stretches:
            self._add_to_days(each)
            if each.active:
                self.covered += each.end - each.begin
            else:
                sums = self.gaps[account.cause(each)]
                sums[0], sums[1] = sums[0] + 1, sums[1] + each.end - each.begin

    def _add_to_days(self, stretch: Stretch) -> None:
        """Add what falls into the first and the last day; of the whole days between, where they begin and end."""
        begin, end = stretch.begin + self._midnight, stretch.end + self._midnight
        first, last = begin // _DAY, (end - 1) // _DAY
        parts, steps = self._parts[stretch.active], self._steps[stretch.active]
        parts[first] += min(end, (first + 1) * _DAY) - begin
        if first < last:
            parts[last] += end - last * _DAY
            steps[first + 1] += 1
            steps[last] -= 1

    def days(self) -> Iterator[tuple[date, int, int]]:
        """Return each day on which MFA was demanded of anybody: ticks demanded, and ticks covered."""
        numbers = self._parts[True].keys() | self._parts[False].keys()
        covered = bare = 0
        for number in range(min(numbers, default=0), max(numbers, default=-1) + 1):
            covered, bare = covered + self._steps[True][number], bare + self._steps[False][number]
            with_cover = covered * _DAY + self._parts[True][number]
            required = with_cover + bare * _DAY + self._parts[False][number]
            if required:
                yield self._first + timedelta(days=number), required, with_cover


@dataclass(frozen=True, slots=True)
class Issued:
    """What a certificate says beside its accounts, and the first of the gaps for people."""

    content: dict[str, Any]
    gaps: list[dict[str, Any]]


def issue(watchword: Watchword, span: Span, query: Mapping[str, str], now: datetime, file: BinaryIO) -> Issued:
    """Write the certificate of a span into an empty file, account by account, and return the rest of it.

    It is folded from the log, never read from a view's table. Whoever calls has checked that the caller may see it.
    Raises LedgerBroken where the key or the notes are not right, NotAsTheLogSays where the span's positions are not.
    """
    from projections.proved_history import folded  # noqa: PLC0415 few certificates are made, and many requests answered

    book, sums, shown = ledger(watchword), Sums(span), list[dict[str, Any]]()
    file.write(b'{"accounts":[')
    with folded(watchword.settings.need("database_url"), watchword.store.read, span) as (connection, remarks):
        registered = connection.execute("SELECT min(from_at) AS at FROM policy_interval").fetchone() or {"at": None}
        demanded = demands(connection, span)
        found = coverage(connection, watchword.store.at, span)
        while page := list(islice(found, PAGE)):
            names = _names(watchword, page, span.partner_id)
            for account in page:
                entry = _account(account, span, names)
                file.write((b"," if sums.accounts else b"") + canonical(entry))
                sums.add(account)
                about = {"account_id": entry["account_id"], "name_today": entry["name_today"]}
                shown += [gap | about for gap in entry["gaps"][: SHOWN - len(shown)]]
    content = _content(watchword, span, demanded, sums) | {"query": dict(query), "made_at": _instant(now)}
    content |= {"origin": book.notes.origin, "ledger": _checkpoint(book, span.b), "remarks": remarks.content()}
    content["partner"]["registered_at"] = _instant(registered["at"]) if registered["at"] else None
    file.write(b"]," + canonical(content)[1:])  # of all its members, "accounts" sorts first
    content["signature"] = _sign(watchword, book, file)
    return Issued(content, shown)


def canonical(content: object) -> bytes:
    """Return the one form in which a content is signed."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def verify_certificate(document: Mapping[str, Any], verifier_line: str) -> bool:
    """Say whether a certificate is, to the byte, what the key of a verifier's line signed.

    The line has to come from elsewhere: the one inside the document proves nothing.
    """
    with suppress(KeyError, TypeError, ValueError, InvalidSignature):
        name, key_hash, encoded = verifier_line.split("+", 2)
        public = b64decode(encoded, validate=True)
        value = b64decode(document["signature"]["value"], validate=True)
        if sha256(f"{name}\n".encode() + public).digest()[:4].hex() != key_hash or document["kind"] != KIND:
            return False
        signed = {key: content for key, content in document.items() if key != "signature"}
        Ed25519PublicKey.from_public_bytes(public[1:]).verify(value, canonical(signed))
        return bool(document["signature"] == _signature(name, verifier_line, value))
    return False


def _signature(name: str, verifier: str, value: bytes) -> dict[str, str]:
    return {"algorithm": "Ed25519", "key": name, "verifier": verifier, "value": b64encode(value).decode()}


def _sign(watchword: Watchword, book: Ledger, file: BinaryIO) -> dict[str, str]:
    """Sign what stands in the file, and add the signature as the last member.

    No certificate can pass for a checkpoint: that begins with the log's name, and this with a brace. The file is mapped
    into memory, since Ed25519 wants all of it at once.
    """
    path = watchword.settings.kek_file.with_name(LEDGER_KEY)  # the ledger has just found it to be right
    encoded = path.read_text().strip().split("+", 4)[4]  # PRIVATE+KEY+<name>+<hash>+<key>, in signed-note's form
    key = Ed25519PrivateKey.from_private_bytes(b64decode(encoded)[1:])
    file.flush()
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as content:
        signature = _signature(book.notes.origin, book.notes.verifier, key.sign(content))
    file.seek(-1, os.SEEK_END)
    file.write(b',"signature":' + canonical(signature) + b"}")
    file.flush()
    return signature


def _checkpoint(book: Ledger, position: int) -> dict[str, Any]:
    """Return the newest signed checkpoint that covers a position; if there is none, one is signed."""
    with book.notes.alone():
        note = book.notes.last()
    leaf = book.tree.leaf_at(position)
    if note is None or leaf is None or leaf.number >= note.checkpoint.size:
        note = book.checkpoint()
    return {"checkpoint": note.text, "size": note.checkpoint.size}


def _content(watchword: Watchword, span: Span, demanded: Demands, sums: Sums) -> dict[str, Any]:
    row = watchword.database.one("SELECT name FROM partner_access WHERE partner_id = %s", (span.partner_id,)) or {}
    without = {each: demanded.of(each, demanded=False) for each in Population}
    totals: dict[str, Any] = {"accounts": sums.accounts, "accounts_without_gap": sums.without_gap}
    totals |= _share(sums.required, sums.covered)
    totals["gaps"] = {each.value: {"count": n, "seconds": seconds(t)} for each, (n, t) in sums.gaps.items()}
    return {
        "kind": KIND,
        "check": HOW_TO_CHECK,
        "partner": {"partner_id": span.partner_id, "name_today": row.get("name")},
        "span": _between(0, span.ticks(span.t1), span) | {"from_position": span.a, "to_position": span.b},
        "policy": [_between(begin, end, span) | _version(row) for begin, end, row in demanded.versions],
        "without_requirement": [
            _between(begin, end, span) | {"population": each.value} for each in without for begin, end in without[each]
        ],
        "days": [{"day": day.isoformat(), **_share(required, covered)} for day, required, covered in sums.days()],
        "totals": totals,
    }


def _version(row: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: row[name] for name in ("version", "enforce_partner_users", "enforce_organizations", "changed_by")}
    return kept | {"position": row["from_position"]}


def _account(account: Covered, span: Span, names: Mapping[str, str]) -> dict[str, Any]:
    covered, bare = account.ticks(active=True), account.ticks(active=False)
    gaps = [_gap(account, each, span, names) for each in account.stretches if not each.active]
    about = {"account_id": account.account_id, "name_today": names.get(account.account_id, ERASED), "gaps": gaps}
    return about | _share(covered + bare, covered)


def _gap(account: Covered, gap: Stretch, span: Span, names: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {"cause": account.cause(gap).value, **_between(gap.begin, gap.end, span)}
    found["covered_again_at"] = _instant(gap.again_at) if gap.again_at else None
    if gap.lost is not None:
        lost = account.lost[gap.lost]
        kind, _, who = lost.actor.partition(":")
        found |= {"position": lost.position, "lost_at": _instant(lost.at), "actor": lost.actor}
        found["actor_name_today"] = names.get(who, ERASED) if kind == "account" else None
        found["reason"] = getattr(lost.fact, "reason", None)
        if gap.again_at:
            found["seconds_until_covered_again"] = seconds(max(0, (gap.again_at - lost.at) // TICK))
    return found


def _names(watchword: Watchword, page: Sequence[Covered], partner_id: str) -> dict[str, str]:
    """Return the names of today of a page's accounts and of who ended their cover; erased and foreign ones have none."""
    actors = {envelope.actor for account in page for envelope in account.lost.values()}
    ids = {each.account_id for each in page} | {actor.removeprefix("account:") for actor in actors}
    found = watchword.sockets.people.accounts(sorted(ids))
    return {each.account_id: each.name for each in found if each.name and each.partner_id == partner_id}


def _between(begin: int, end: int, span: Span) -> dict[str, str]:
    instants = {"from": _instant(span.t0 + begin * TICK), "to": _instant(span.t0 + end * TICK)}
    return instants | {"seconds": seconds(end - begin)}


def _share(required: int, covered: int) -> dict[str, Any]:
    """Return for how long MFA was demanded and covered; the percentage is rounded down, so that 100 means all."""
    share = covered * 1_000_000 // required if required else None
    percent = None if share is None else f"{share // 10_000}.{share % 10_000:04}"
    return {"required_seconds": seconds(required), "covered_seconds": seconds(covered), "percent_covered": percent}


def seconds(ticks: int) -> str:
    """Return a time in seconds as a decimal number; no reader rounds a string."""
    return f"{ticks // _SECOND}.{ticks % _SECOND:06}"


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
