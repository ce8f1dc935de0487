"""Passwords: hashed slowly, compared in the same way for who exists and who does not, and never too many at once."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from statistics import median

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from handlers.adapters.passwords import LANES, MEMORY_KIB, PASSES, WAITING, Argon2Passwords
from handlers.ports import Unavailable

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def passwords() -> Argon2Passwords:
    return Argon2Passwords()


@pytest.mark.parametrize("password", [PASSWORD, "pässwörd ✓ 密码", " ", "x" * 1000, "with\0nul"])
def test_the_right_password_matches_its_hash_and_no_other_does(passwords: Argon2Passwords, password: str) -> None:
    kept = passwords.hash(password)
    assert password not in kept
    assert passwords.matches(password, kept)
    assert not passwords.matches(password + " ", kept)
    assert not passwords.matches("", kept)


def test_a_hash_says_how_it_was_made_and_is_never_the_same_twice(passwords: Argon2Passwords) -> None:
    first, second = passwords.hash(PASSWORD), passwords.hash(PASSWORD)
    assert first != second
    assert first.startswith(f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$")


@pytest.mark.parametrize("broken", ["not a hash", "$argon2id$v=19$m=19456,t=2,p=1$AAAA", "$argon2id$"])
def test_a_broken_hash_is_matched_by_nothing(passwords: Argon2Passwords, broken: str) -> None:
    assert not passwords.matches(PASSWORD, broken)


def test_who_does_not_exist_goes_the_same_way(passwords: Argon2Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are compared by the hasher, once; the medians are printed for who reads them."""
    kept, calls, verify = passwords.hash(PASSWORD), [], PasswordHasher.verify

    def counted(hasher: PasswordHasher, password_hash: str, password: str) -> bool:
        calls.append(password_hash[:30])
        return verify(hasher, password_hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    spent = {
        name: [_spent(passwords, given) for _ in range(9)] for name, given in (("somebody", kept), ("nobody", None))
    }
    print({name: f"{1000 * median(times):.1f} ms" for name, times in spent.items()})
    assert not passwords.matches(PASSWORD, None)
    assert calls == [kept[:30]] * 19, "the same algorithm with the same costs, for everybody"


def _spent(passwords: Argon2Passwords, password_hash: str | None) -> float:
    before = time.perf_counter()
    assert not passwords.matches("wrong", password_hash)
    return time.perf_counter() - before


def test_nobody_can_sign_in_with_what_stands_in_for_a_missing_hash() -> None:
    passwords = Argon2Passwords(cores=1)
    assert not passwords.matches("", None)
    assert not passwords.matches(passwords._nobodys, None)
    with pytest.raises(VerifyMismatchError):  # a malformed one would be refused without any work, which could be seen
        passwords._hasher.verify(passwords._nobodys, PASSWORD)
    assert not passwords._hasher.check_needs_rehash(passwords._nobodys), "it costs what a new one costs"


def test_more_than_may_wait_are_turned_away_and_the_others_are_served() -> None:
    passwords = Argon2Passwords(cores=2)
    leave = threading.Event()
    for _ in range(2):
        passwords._workers.submit(leave.wait, 60)
    with ThreadPoolExecutor(2 + WAITING) as threads:
        waiting = [threads.submit(passwords.hash, PASSWORD) for _ in range(2 + WAITING)]
        _until_full(passwords)
        for asked in (lambda: passwords.hash(PASSWORD), lambda: passwords.matches(PASSWORD, None)):
            with pytest.raises(Unavailable):
                asked()
        assert not any(each.done() for each in waiting)
        leave.set()
        wait(waiting, 60)
        assert all(each.result().startswith("$argon2id$") for each in waiting)
    assert passwords.matches(PASSWORD, passwords.hash(PASSWORD))


def _until_full(passwords: Argon2Passwords) -> None:
    deadline = time.monotonic() + 20
    while passwords._admitted._value > 0:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_never_more_than_the_cores_hash_at_once() -> None:
    """As many as the cores come in, the next one waits, and is served when one leaves."""
    passwords, inside = Argon2Passwords(cores=2), threading.Semaphore(0)
    leave = threading.Event()

    def stay() -> None:
        inside.release()
        assert leave.wait(20)

    with ThreadPoolExecutor(3) as threads:
        staying = [threads.submit(passwords._on_a_core, stay) for _ in range(3)]
        assert inside.acquire(timeout=20)
        assert inside.acquire(timeout=20)
        assert not inside.acquire(timeout=0.05)
        leave.set()
        assert inside.acquire(timeout=20)
        for each in staying:
            each.result()


def test_a_flood_of_sign_ins_keeps_no_more_memory_than_the_cores_need() -> None:
    """In a process of its own: each thread that ever hashed would keep its 19 MiB, and a web process has forty."""
    flood = (
        "import resource; from concurrent.futures import ThreadPoolExecutor;"
        "from handlers.adapters.passwords import *;"
        "passwords = Argon2Passwords(cores=2); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "threads = ThreadPoolExecutor(2 + WAITING);"
        "list(threads.map(lambda _: passwords.matches('x', None), range(200)));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    grown = int(subprocess.run([sys.executable, "-c", flood], check=True, capture_output=True, text=True).stdout)
    assert grown < 5 * MEMORY_KIB
