"""PostgreSQL, NATS and a mail catcher for one machine: what `make run` and the tests stand on.

Production names its own servers by `DATABASE_URL`, `NATS_URL` and `SMTP_URL`; nothing in this folder runs there.
"""
