"""Taking a directory over: all of a file or nothing, the same file twice changes nothing, and each mistake has its line."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from api.bootstrap import Watchword
from api.cli.directory_file import LineError
from api.cli.importing import Result, take_file
from domain.kernel import Envelope
from handlers import directory as operators
from handlers.directory import BATCH, AccountLine, OrganizationLine
from handlers.ports import AddressTaken, Conflict, Origin
from tests.directory import ORGANIZATIONS, PASSWORD, address, lines, write_directory
from tests.services import Portal

Line = dict[str, dict[str, Any]]


def jsonl(folder: Path, *content: Line | str | bytes, name: str = "file.jsonl") -> Path:
    """Write a file, each item a line of it."""
    path = folder / name
    raw = [
        item if isinstance(item, bytes) else (item if isinstance(item, str) else json.dumps(item)).encode()
        for item in content
    ]
    path.write_bytes(b"\n".join(raw) + b"\n")
    return path


def account(id_: str, **more: Any) -> Line:
    """Return a line of a new support user of ``dist``; a field that is None is left out."""
    fields = {"id": id_, "email": f"{id_}@mail.example", "name": "Some Body", "partner": "dist", "role": "support"}
    return {"account": {name: value for name, value in (fields | more).items() if value is not None}}


def end_user(id_: str, organization: str, **more: Any) -> Line:
    return account(id_, partner=None, organization=organization, role="end_user", **more)


def partner(id_: str, kind: str, **more: Any) -> Line:
    return {"partner": {"id": id_, "name": id_.title(), "type": kind, **more}}


def organization(id_: str, of: str) -> Line:
    return {"organization": {"id": id_, "name": id_.title(), "partner": of}}


def after(watchword: Watchword, position: int) -> list[Envelope]:
    return list(watchword.store.read(position, 10_000))


def taken(path: Path, watchword: Watchword) -> list[Envelope]:
    """Take a file that is in order, and return the facts that came of it."""
    position = watchword.store.last_position()
    result = take_file(path, watchword)
    assert result.errors == []
    return after(watchword, position)


def signs_in(portal: Portal, mail: str, password: str) -> bool:
    browser = portal.browser()
    browser.session()
    return browser.post("/sign-in", {"email": mail, "password": password}).status_code == 200


# ── Bad lines ──

BAD: dict[str, tuple[Line | str | bytes, str, str]] = {
    "not JSON": ('{"account": ', "line", "not JSON"),
    "not UTF-8": (b'{"partner": {"id": "p", "name": "\xff", "type": "reseller"}}', "line", "UTF-8"),
    "JSON, but no object": ("[1, 2]", "line", "valid dictionary"),
    "nested without end": ("[" * 100_000, "line", "not JSON"),
    "of no kind": ({"user": {"id": "u"}}, "user", "not permitted"),
    "of two kinds": ({**partner("p", "reseller"), **organization("o", "dist")}, "line", "a line is one of"),
    "empty": ("{}", "line", "a line is one of"),
    "unknown field": (account("new", colour="red"), "account.colour", "not permitted"),
    "missing field": (account("new", name=None), "account.name", "required"),
    "number for a text": (account("new", name=7), "account.name", "valid string"),
    "text for a flag": (account("new", sso="yes"), "account.sso", "valid boolean"),
    "no id": (account(""), "account.id", "at least 1"),
    "id with a slash": (account("new", id="a/b"), "account.id", "letters, digits"),
    "id with a line feed": (account("new", id="a\n"), "account.id", "letters, digits"),
    "unknown role": (account("new", role="king"), "account.role", "'owner'"),
    "unknown partner": (account("new", partner="nobody"), "account.partner", "add a line for it"),
    "unknown organization": (end_user("new", "nowhere"), "account.organization", "add a line for it"),
    "organization of an unknown partner": (organization("new", "nobody"), "organization.partner", "add a line"),
    "organization of another partner": (organization("dist-org", "dist2"), "organization.partner", "cannot move"),
    "account of another partner": (account("dist-admin", partner="dist2"), "account.partner", "another id"),
    "account of another partner's organization": (
        end_user("dist-org-user", "dist2-org"),
        "account.partner",
        "another id",
    ),
    "duplicate id": (account("before"), "account.id", "line 1 has the same id"),
    "duplicate address": (account("new", email="BEFORE@mail.example"), "account.email", "line 1 has the same address"),
    "address of another account": (account("new", email=address("dist-owner")), "account.email", "dist-owner has this"),
    "end user of a partner": (account("new", role="end_user"), "account", "end users belong to an organization"),
    "admin of an organization": (account("new", partner=None, organization="dist-org"), "account", "end users belong"),
    "two places": (account("new", organization="dist-org"), "account", "give one of them"),
    "no place": (account("new", partner=None), "account", "give one of them"),
    "address without a domain": (account("new", email="somebody"), "account.email", "name@example.org"),
    "address with a line feed": (
        account("new", email="a@mail.example\nBcc: b@c.de"),
        "account.email",
        "name@example.org",
    ),
    "address that is too long": (account("new", email=f"a@{'b.' * 150}de"), "account.email", "at most 254"),
    "NUL in a name": (account("new", name="Some\x00Body"), "account.name", "remove them"),
    "line feed in a name": (account("new", name="Some\nBody"), "account.name", "remove them"),
    "turned writing direction in a name": (account("new", name="Some\u202eBody"), "account.name", "remove them"),
    "half a character in a name": (account("new", name="Some\ud800Body"), "account.name", ""),
    "name of spaces": (account("new", name="   "), "account.name", "at least 1"),
    "NUL in a password": (account("new", password="a\x00b"), "account.password", "remove it"),
    "half a character in a password": (account("new", password="a\ud800b"), "account.password", ""),
    "password that is too long": (account("new", password="x" * 257), "account.password", "at most 256"),
    "sub-reseller without parent": (partner("new", "sub_reseller"), "partner.parent", "has a parent"),
    "reseller with a parent": (partner("new", "reseller", parent="dist"), "partner.parent", "no other type"),
    "unknown parent": (partner("new", "sub_reseller", parent="nobody"), "partner.parent", "name one"),
    "own parent": (partner("new", "sub_reseller", parent="new"), "partner.parent", "name one"),
    "sub-reseller as parent": (partner("new", "sub_reseller", parent="sub"), "partner.parent", "name one"),
    "changed partner type": (partner("dist", "reseller"), "partner.type", "cannot change"),
    "unknown partner type": (partner("new", "wholesaler"), "partner.type", "'distributor'"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_takes_nothing_and_is_named(watchword: Watchword, tmp_path: Path, kind: str) -> None:
    bad, field, remedy = BAD[kind]
    position = watchword.store.last_position()
    result = take_file(jsonl(tmp_path, account("before"), bad, account("after")), watchword)
    assert (2, field) in {(error.line, error.field) for error in result.errors}, result.errors
    assert remedy in next(error.message for error in result.errors if (error.line, error.field) == (2, field))
    assert result.changed == 0
    assert after(watchword, position) == []
    assert watchword.sockets.people.accounts(["before", "after", "new"]) == []


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_bad_line_takes_nothing_wherever_it_stands(watchword: Watchword, tmp_path: Path, place: int) -> None:
    position = watchword.store.last_position()
    content: list[Line | str] = [partner("fresh", "reseller"), account("one", partner="fresh")]
    content.insert(place, "no JSON")
    result = take_file(jsonl(tmp_path, *content), watchword)
    assert [error.line for error in result.errors] == [place + 1]
    assert after(watchword, position) == []


def test_parents_in_a_circle_are_refused(watchword: Watchword, tmp_path: Path) -> None:
    position = watchword.store.last_position()
    circle = [partner("a", "sub_reseller", parent="b"), partner("b", "sub_reseller", parent="a")]
    result = take_file(jsonl(tmp_path, *circle), watchword)
    assert [(error.line, error.field) for error in result.errors] == [(1, "partner.parent"), (2, "partner.parent")]
    assert after(watchword, position) == []


def test_all_bad_lines_are_named_in_the_order_of_the_file(watchword: Watchword, tmp_path: Path) -> None:
    result = take_file(
        jsonl(tmp_path, account("a", partner="nobody"), "no JSON", "", account("b", role="king")), watchword
    )
    assert [error.line for error in result.errors] == [1, 2, 4]


def test_no_password_stands_in_what_is_said_about_a_bad_line(watchword: Watchword, tmp_path: Path) -> None:
    bad = account("new", password="hidden-words" * 30, role="king")
    assert "hidden-words" not in str(take_file(jsonl(tmp_path, bad), watchword).errors)


def test_an_erased_account_is_not_used_again(watchword: Watchword, tmp_path: Path) -> None:
    s = watchword.sockets
    operators.erase("dist-support", Origin("operator", s.chance.new_id(), s.clock.now()), s)
    result = take_file(jsonl(tmp_path, account("dist-support")), watchword)
    assert [(error.line, error.field) for error in result.errors] == [(1, "account.id")]


def test_a_changed_parent_takes_nothing(watchword: Watchword, tmp_path: Path) -> None:
    position = watchword.store.last_position()
    content = [partner("fresh", "reseller"), partner("sub", "sub_reseller", parent="dist2")]
    result = take_file(jsonl(tmp_path, *content), watchword)
    assert [(error.line, error.field) for error in result.errors] == [(2, "partner.parent")]
    assert after(watchword, position) == []


def test_places_that_somebody_registers_meanwhile_take_their_whole_batch_along(watchword: Watchword) -> None:
    s, position = watchword.sockets, watchword.store.last_position()
    batch = [OrganizationLine(id=each, name="Place", partner="dist") for each in ("fresh-org", "dist-org", "last-org")]
    with pytest.raises(Conflict):
        operators.take_places(batch, set(), Origin("operator", s.chance.new_id(), s.clock.now()), s)
    assert after(watchword, position) == []
    query = "SELECT FROM organization_access WHERE organization_id = ANY(%s)"
    assert watchword.database.all(query, (["fresh-org", "last-org"],)) == []


def test_an_address_that_is_taken_meanwhile_takes_its_whole_batch_along(watchword: Watchword) -> None:
    s, position = watchword.sockets, watchword.store.last_position()
    lines = [account("fresh"), account("thief", email=address("dist-owner")), account("last")]
    batch = [AccountLine(**line["account"]) for line in lines]
    with pytest.raises(AddressTaken):
        operators.take_accounts(batch, {}, {}, Origin("operator", s.chance.new_id(), s.clock.now()), s)
    assert after(watchword, position) == []
    assert s.people.accounts(["fresh", "thief", "last"]) == []


# ── Twice ──


def test_the_same_file_twice_changes_nothing(watchword: Watchword, tmp_path: Path) -> None:
    position = watchword.store.last_position()
    assert take_file(write_directory(tmp_path), watchword) == Result(lines=len(lines()))
    assert after(watchword, position) == []


def test_a_file_without_passwords_leaves_the_passwords_alone(portal: Portal, tmp_path: Path) -> None:
    bare = [
        {kind: {k: v for k, v in item.items() if k != "password"} for kind, item in line.items()} for line in lines()
    ]
    assert taken(jsonl(tmp_path, *bare), portal.watchword) == []
    assert signs_in(portal, address("dist-admin"), PASSWORD)


def test_lines_may_come_in_any_order(watchword: Watchword, tmp_path: Path) -> None:
    content = [
        end_user("p", "o"),
        organization("o", "b"),
        partner("b", "sub_reseller", parent="a"),
        partner("a", "distributor"),
    ]
    facts = taken(jsonl(tmp_path, *content), watchword)
    assert {fact.stream for fact in facts} == {"partner:a", "partner:b", "organization:o", "account:p"}


def test_an_address_is_free_again_in_another_place(watchword: Watchword, tmp_path: Path) -> None:
    same = {"email": "one@mail.example"}
    content = [account("a", **same), account("b", partner="resell", **same), end_user("c", "dist-org", **same)]
    assert len(taken(jsonl(tmp_path, *content), watchword)) == 3


# ── Changes ──


def changed(id_: str, **fields: Any) -> Line:
    """Return the line of an account of the test directory with other fields."""
    line = next(line["account"] for line in lines() if line.get("account", {}).get("id") == id_)
    return {"account": {**line, **fields}}


def test_a_changed_role_is_taken_at_once(watchword: Watchword, tmp_path: Path) -> None:
    facts = taken(jsonl(tmp_path, changed("dist-support", role="admin")), watchword)
    assert [fact.fact.TOPIC for fact in facts] == ["account.role_changed"]
    entry = watchword.sockets.people.account("dist-support")
    assert entry is not None
    assert entry.role == "admin"


def test_a_changed_name_is_taken(watchword: Watchword, tmp_path: Path) -> None:
    taken(jsonl(tmp_path, changed("dist-support", name="New Name")), watchword)
    entry = watchword.sockets.people.account("dist-support")
    assert entry is not None
    assert entry.name == "New Name"


def test_a_changed_password_is_taken_and_the_old_one_ends(portal: Portal, tmp_path: Path) -> None:
    facts = taken(jsonl(tmp_path, changed("dist-support", password="another good password")), portal.watchword)
    assert [fact.fact.TOPIC for fact in facts] == ["account.password_changed"]
    assert signs_in(portal, address("dist-support"), "another good password")
    assert not signs_in(portal, address("dist-support"), PASSWORD)


def test_a_changed_address_is_taken_with_its_password(portal: Portal, tmp_path: Path) -> None:
    facts = taken(jsonl(tmp_path, changed("dist-support", email="moved@mail.example")), portal.watchword)
    assert [fact.fact.TOPIC for fact in facts] == ["account.mail_address_changed"]
    assert signs_in(portal, "moved@mail.example", PASSWORD)
    assert not signs_in(portal, address("dist-support"), PASSWORD)


def test_a_changed_name_ends_no_session(portal: Portal, tmp_path: Path) -> None:
    person = portal.browser()
    person.sign_in(address("dist-support"), PASSWORD)
    facts = taken(jsonl(tmp_path, changed("dist-support", name="Another Name")), portal.watchword)
    assert [fact.fact.TOPIC for fact in facts] == ["account.renamed"]
    assert person.session()["account"]["name"] == "Another Name"


def test_an_account_moves_within_its_partner(watchword: Watchword, tmp_path: Path) -> None:
    moved = end_user("dist-support", "dist-org", email=address("dist-support"))
    facts = taken(jsonl(tmp_path, moved), watchword)
    assert "account.moved" in [fact.fact.TOPIC for fact in facts]
    entry = watchword.sockets.people.account("dist-support")
    assert entry is not None
    assert entry.organization_id == "dist-org"


def test_two_accounts_exchange_their_addresses(watchword: Watchword, tmp_path: Path) -> None:
    one, other = "dist-support", "dist-auditor"
    exchanged = [changed(one, email=address(other)), changed(other, email=address(one))]
    taken(jsonl(tmp_path, *exchanged), watchword)
    entries = {entry.account_id: entry.mail_address for entry in watchword.sockets.people.accounts([one, other])}
    assert entries == {one: address(other), other: address(one)}


def test_renamed_places_are_taken(watchword: Watchword, tmp_path: Path) -> None:
    content = [{"partner": {"id": "resell", "name": "New Partner", "type": "reseller"}}]
    content += [{"organization": {"id": "resell-org", "name": "New Place", "partner": "resell"}}]
    facts = taken(jsonl(tmp_path, *content), watchword)
    assert [fact.fact.TOPIC for fact in facts] == ["partner.renamed", "organization.renamed"]


def test_one_batch_may_do_everything_at_once(portal: Portal, tmp_path: Path) -> None:
    content = [
        partner("fresh", "sub_reseller", parent="dist"),
        {"partner": {"id": "resell", "name": "New Partner", "type": "reseller"}},
        organization("place", "fresh"),
        end_user("one", "place", email="same@mail.example", password="a good password"),
        changed("dist-support", email="moved@mail.example"),
        account("two", partner="fresh", name='Zoë \\ "Z"'),
        changed("dist-auditor", role="admin", password="another good password"),
        account("three", partner="fresh", email="same@mail.example", password="a good password"),
    ]
    facts = taken(jsonl(tmp_path, *content), portal.watchword)
    words = "partner.registered partner.renamed organization.registered account.registered account.mail_address_changed"
    words += " account.registered account.role_changed account.password_changed account.registered"
    assert [fact.fact.TOPIC for fact in facts] == words.split()
    ids = ["one", "two", "three", "dist-support", "dist-auditor"]
    found = {entry.account_id: entry for entry in portal.watchword.sockets.people.accounts(ids)}
    assert {(found[each].partner_id, found[each].organization_id, found[each].role) for each in ids[:3]} == {
        ("fresh", "place", "end_user"),
        ("fresh", None, "support"),
    }
    assert found["two"].name == 'Zoë \\ "Z"'
    assert found["dist-auditor"].role == "admin"
    assert found["dist-support"].mail_address == "moved@mail.example"
    assert signs_in(portal, "moved@mail.example", PASSWORD)
    assert signs_in(portal, address("dist-auditor"), "another good password")
    assert signs_in(portal, "same@mail.example", "a good password")
    assert found["one"].credential_id == found["three"].credential_id


def test_two_thousand_accounts_come_in_batches(watchword: Watchword, tmp_path: Path) -> None:
    places = list(ORGANIZATIONS)
    content = [end_user(f"many-{number:04}", places[number % len(places)]) for number in range(2000)]
    facts = taken(jsonl(tmp_path, *content), watchword)
    assert len(facts) == 2000
    assert len({fact.command_id for fact in facts}) == 2000 // BATCH
    assert [fact.position for fact in facts] == sorted(fact.position for fact in facts)
    assert taken(tmp_path / "file.jsonl", watchword) == []


# ── CSV ──


def as_csv(folder: Path, content: list[Line]) -> Path:
    """Write lines as CSV, with the columns that they need."""
    rows = [{"kind": kind, **fields} for line in content for kind, fields in line.items()]
    path = folder / "file.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_csv_says_the_same_as_json_lines(watchword: Watchword, tmp_path: Path) -> None:
    assert taken(as_csv(tmp_path, lines()), watchword) == []
    content = [
        partner("fresh", "sub_reseller", parent="dist"),
        organization("place", "fresh"),
        end_user("new", "place", sso=True),
    ]
    facts = taken(as_csv(tmp_path, content), watchword)
    assert [fact.fact.TOPIC for fact in facts] == [
        "partner.registered",
        "organization.registered",
        "account.registered",
    ]


CSV_HEAD = "kind,id,email,name,partner,role\n"
BAD_CSV = {
    "unknown kind": ("king,x,x@mail.example,X,dist,admin\n", [LineError(2, "king", "Extra inputs are not permitted")]),
    "after a good line": (
        "account,x,x@mail.example,X,dist,admin\naccount,y,y@mail.example,Y,nobody,admin\n",
        [LineError(3, "account.partner", "there is no partner nobody: add a line for it")],
    ),
    "after an empty line": (
        "account,x,x@mail.example,X,dist,admin\n\naccount,y,y@mail.example,Y,nobody,admin\n",
        [LineError(4, "account.partner", "there is no partner nobody: add a line for it")],
    ),
}


@pytest.mark.parametrize("kind", BAD_CSV)
def test_a_bad_line_of_csv_takes_nothing_and_is_named(watchword: Watchword, tmp_path: Path, kind: str) -> None:
    content, expected = BAD_CSV[kind]
    path = tmp_path / "file.csv"
    path.write_text(CSV_HEAD + content)
    position = watchword.store.last_position()
    assert take_file(path, watchword).errors == expected
    assert after(watchword, position) == []


@pytest.mark.parametrize(
    "content",
    [
        b"account,x,x@mail.example,\xff\xfe,dist,admin\n",
        b"account,x,x@mail.example,X,dist,admin,one,more,columns\n",
        b"account,x,x@mail.example," + b"X" * 200_000 + b",dist,admin\n",
        b'account,x,x@mail.example,"Some\nBody",dist,admin\n',
    ],
    ids=["not UTF-8", "more columns than the head", "a very long field", "two lines in one field"],
)
def test_broken_csv_takes_nothing_and_is_named(watchword: Watchword, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(CSV_HEAD.encode() + content)
    position = watchword.store.last_position()
    assert take_file(path, watchword).errors
    assert after(watchword, position) == []
