"""Other products beside Watchword: each checks a TOTP code over HTTP, with what it remembers in PostgreSQL, in two processes.

The work is the same where it matters, one code of one person, used once, and answered after the commit. The rest is not,
and this is what a request does besides:

* **Watchword**: reads the session of a sign-in that waits for its code, its guard and CSRF token; refuses a used time step;
  counts the guesses of the sign-in and of the account, which may be locked; opens a session; appends a fact whose envelope
  the audit trail and the provable log are made from. One commit.
* **bare Starlette** (`tests/bench/floor_app.py`): one SELECT, decrypt, check, one statement for an event, the used step and
  the head. No session, no guard, no lock-out.
* **privacyIDEA**: finds the person through a resolver (here SQL, with its user cache), checks policies, keeps the used
  counter and the number of failures in the token's row, and signs its answer and an audit row. No session and no CSRF token:
  it answers another program.
* **better-auth**: takes the cookie of a pending sign-in, takes its row of attempts away, looks at the account's lock-out,
  decrypts, checks, takes the pending sign-in away and creates a session with a signed cookie. It keeps no used step, so a code
  passes twice, and no audit.
* **django-allauth** (headless): takes the token of a pending login, checks, remembers the used code in memcached, notes when
  the authenticator was used and completes the login in its session. No audit. Its lock-out is a rate limit in memcached, not
  in PostgreSQL, and is off here, as it would stop the one address that all requests come from.
* **glewlwyd**: finds the person, checks, writes when the code was last used and opens a session with a cookie. No lock-out,
  no audit. One process with threads. The indexes that its schema lacks for its own questions are added, without which each
  request reads whole tables; instead of pgcrypto, which our server has not, two functions stand for passwords.

Passwords are the fixture and no part of a measured request; better-auth and django-allauth have a cheap hash for it. What
is behind is PostgreSQL with fsync, one server for all, a database for each. All run the whole time and take turns, so that
each ratio is of neighbouring minutes.
"""
