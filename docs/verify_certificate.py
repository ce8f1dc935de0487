"""Check a coverage certificate of Watchword offline, without Watchword. It needs Python 3.11 and `cryptography`.

    python verify_certificate.py CERTIFICATE.json --key LINE_OR_FILE

The key is the public line that `watchword audit key` prints: get it from somebody else than who gave you the certificate.

What is proved:
 1. The certificate is, to the byte, what that key signed (Ed25519 over the canonical JSON without its signature).
 2. The checkpoint in it is signed by the same key: it fixes the whole log by one hash. Keep it, and hold it against the
    log with `watchword audit verify --against FILE`.
 3. The sums follow from the accounts and their gaps, and the days from the sums.
What is not proved: that the facts in the log are true; names are those of the day on which the certificate was made.
Exit status: 0 right, 1 wrong, 2 used wrongly.
"""

# ruff: noqa: INP001, T201

import argparse
import base64
import hashlib
import json
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Wrong(Exception):
    """The certificate is not what was signed, or does not agree with itself. The sentence names the first fault."""


def check(true: bool, otherwise: str) -> None:
    """Go on only when this is true."""
    if not true:
        raise Wrong(otherwise)


def canonical(content: object) -> bytes:
    """Return the one form in which a content is signed."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def key_of(line: str) -> tuple[str, bytes, Ed25519PublicKey]:
    """Return name, hash and key of a public line ``<name>+<hash>+<key>``; the hash ties the name to the key."""
    name, given, encoded = line.strip().split("+", 2)
    public = base64.b64decode(encoded, validate=True)
    hashed = hashlib.sha256(f"{name}\n".encode() + public).digest()[:4]
    check(public[:1] == b"\x01" and hashed.hex() == given, "the parts of the key's line do not belong together")
    return name, hashed, Ed25519PublicKey.from_public_bytes(public[1:])


def verify(document: dict[str, Any], line: str) -> None:
    """Raise Wrong unless the certificate is signed by the key of this line, and agrees with itself."""
    name, hashed, key = key_of(line)
    signed = {member: content for member, content in document.items() if member != "signature"}
    try:
        key.verify(base64.b64decode(document["signature"]["value"], validate=True), canonical(signed))
    except InvalidSignature:
        raise Wrong("the certificate is not what this key signed") from None
    check(document["kind"] == "watchword.coverage_certificate.v1", "this is no coverage certificate")
    check(document["origin"] == name, "the certificate is of another log")
    text, _, last = document["ledger"]["checkpoint"].rpartition("\n\n")
    signature = base64.b64decode(last.removeprefix(f"— {name} ").strip(), validate=True)
    check(signature[:4] == hashed, "the checkpoint is signed with another key")
    try:
        key.verify(signature[4:], f"{text}\n".encode())
    except InvalidSignature:
        raise Wrong("the checkpoint is not what was signed") from None
    check(text.split("\n")[:2] == [name, str(document["ledger"]["size"])], "the checkpoint is of another size")
    check_sums(document)


def check_sums(document: dict[str, Any]) -> None:
    """Raise Wrong unless totals and days are the sums of the accounts."""
    totals, gaps, uncovered = document["totals"], Counter[str](), Counter[str]()
    required = covered = Decimal(0)
    for account in document["accounts"]:
        bare = sum((Decimal(gap["seconds"]) for gap in account["gaps"]), Decimal(0))
        theirs = Decimal(account["required_seconds"]), Decimal(account["covered_seconds"])
        check(theirs[0] - theirs[1] == bare, f"the gaps of {account['account_id']} do not add up")
        required, covered = required + theirs[0], covered + theirs[1]
        for gap in account["gaps"]:
            gaps[gap["cause"]] += 1
            uncovered[gap["cause"]] += int(Decimal(gap["seconds"]) * 1_000_000)
    sums = Decimal(totals["required_seconds"]), Decimal(totals["covered_seconds"])
    check(sums == (required, covered), "the totals are not the sums of the accounts")
    check(totals["accounts"] == len(document["accounts"]), "the number of accounts is not right")
    for cause, said in totals["gaps"].items():
        right = (gaps[cause], uncovered[cause])
        check((said["count"], int(Decimal(said["seconds"]) * 1_000_000)) == right, f"the gaps by {cause} do not add up")
    days = [(Decimal(day["required_seconds"]), Decimal(day["covered_seconds"])) for day in document["days"]]
    check(
        (sum(day[0] for day in days), sum(day[1] for day in days)) == (required, covered), "the days are not the totals"
    )


def main() -> int:
    """Check what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description="Check a coverage certificate offline.")
    parser.add_argument("certificate", type=Path)
    parser.add_argument("--key", required=True, help="the public line, or a file that holds it")
    given = parser.parse_args()
    line = Path(given.key).read_text(encoding="utf-8") if Path(given.key).is_file() else given.key
    try:
        document = json.loads(given.certificate.read_text(encoding="utf-8"))
        verify(document, line)
    except (Wrong, KeyError, TypeError, ValueError, ArithmeticError) as error:
        print(f"WRONG: {error}" if isinstance(error, Wrong) else "WRONG: this is no certificate of Watchword")
        return 1
    span, totals = document["span"], document["totals"]
    print(f"right: {document['partner']['partner_id']}, {span['from']} to {span['to']}")
    print(f"{totals['percent_covered'] or '-'} % covered, {totals['accounts']} accounts")
    for remark, found in document.get("remarks", {}).items():
        if found["count"]:
            print(f"remark: {found['count']} {remark.replace('_', ' ')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
