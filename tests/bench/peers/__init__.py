"""Other products beside Watchword: each checks a TOTP code over HTTP, with lock-out state in PostgreSQL, in two processes.

The work is the same where it matters, one code of one person, used once, and answered after the commit. The rest is not,
and this is what a request does besides:

* **Watchword**: reads the session of a sign-in that waits for its code, its guard and CSRF token; refuses a used time step;
  looks at the lock-out and at the guesses of the address; opens a session; appends a fact whose envelope the audit trail
  and the provable log are made from. One commit.
* **bare Starlette** (`tests/bench/floor_app.py`): one SELECT, decrypt, check, one statement for an event, the used step and
  the head. No session, no guard, no lock-out.
* **privacyIDEA**: finds the person through a resolver (here SQL, with its user cache), checks policies, counts failures in
  the token's row, and signs its answer and an audit row. No session: it answers another program, so there is no CSRF token
  either. Used steps are refused by a counter in the token's row.
* **better-auth**: takes the cookie of a pending sign-in, decrypts, checks, deletes the pending sign-in and creates a session
  with a signed cookie. It keeps no used step, so the same code passes twice, and no audit; a lock-out is a number of attempts
  of the pending sign-in. Its own rate limit is off.
* **django-allauth** (headless): takes the token of a pending login, checks, remembers the used code in memcached, completes
  the login in the session's row and in its list of sessions. No audit; rate limits are off.
* **glewlwyd**: finds the person, checks, writes when the code was last used and opens a session with a cookie. No audit.
  The indexes that its schema lacks for its own questions are added.

Passwords are the fixture and no part of a measured request; better-auth and django-allauth have a cheap hash for it. What
is behind is PostgreSQL with fsync, one server for all, a database for each. All run the whole time and take turns, so that
each ratio is of neighbouring minutes.
"""
