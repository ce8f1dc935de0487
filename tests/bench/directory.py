"""A directory of any size, the same each time: ``python -m tests.bench.directory 100000 > directory.jsonl``."""

import json
import random
import sys
from collections.abc import Iterator

PARTNERS = 50
ORGANIZATIONS = 500
WITH_PASSWORD = 20
"""The first accounts have a password; hashing one for everybody would measure argon2id alone."""
PASSWORD = "correct horse battery staple"
SEED = 20_261_124

_TYPES = ("distributor", "reseller", "sub_reseller", "distributor", "sub_reseller")
_ROLES = ("owner", "super_admin", "admin", "support", "auditor")
_FIRST = ("Ada", "Bela", "Carl", "Dora", "Emil", "Fay", "Gus", "Hana", "Ivo", "Jana", "Karl", "Lena", "Milo", "Nora")
_LAST = ("Ash", "Birch", "Cedar", "Dale", "Elm", "Fern", "Grove", "Heath", "Isle", "Lake", "Moor", "Pine", "Rowan")

Line = dict[str, dict[str, str]]


def lines(accounts: int) -> Iterator[Line]:
    """Return partners first, then organizations, then so many accounts; one in ten is a partner user."""
    chance = random.Random(SEED)
    yield from (_partner(number) for number in range(PARTNERS))
    for number in range(ORGANIZATIONS):
        place = f"partner-{number % PARTNERS:02}"
        yield {"organization": {"id": f"org-{number:03}", "name": f"Customer {number:03}", "partner": place}}
    for number in range(accounts):
        yield {"account": _account(number, chance)}


def _partner(number: int) -> Line:
    kind = _TYPES[number % len(_TYPES)]
    parent = {"parent": f"partner-{number - number % len(_TYPES):02}"} if kind == "sub_reseller" else {}
    return {"partner": {"id": f"partner-{number:02}", "name": f"Partner {number:02}", "type": kind, **parent}}


def _account(number: int, chance: random.Random) -> dict[str, str]:
    first, last = chance.choice(_FIRST), chance.choice(_LAST)
    address = f"{first.lower()}.{last.lower()}.{number}@mail.example"
    person = {"id": f"acc-{number:07}", "email": address, "name": f"{first} {last} {number}"}
    if number < WITH_PASSWORD:
        person["password"] = PASSWORD
    if number % 10:
        return {**person, "organization": f"org-{chance.randrange(ORGANIZATIONS):03}", "role": "end_user"}
    return {**person, "partner": f"partner-{chance.randrange(PARTNERS):02}", "role": chance.choice(_ROLES)}


def main() -> None:
    """Write the directory to standard output."""
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        sys.exit("usage: python -m tests.bench.directory ACCOUNTS")
    for line in lines(int(sys.argv[1])):
        sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
