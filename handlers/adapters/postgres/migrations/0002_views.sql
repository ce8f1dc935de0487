-- The views. Each can be emptied and folded again from the log; "watchword verify" proves it.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE INDEX person_name_words ON person USING gin (lower(name) gin_trgm_ops);
CREATE INDEX person_mail_words ON person USING gin (mail_key gin_trgm_ops);

CREATE TABLE user_status (
    account_id       text PRIMARY KEY,
    partner_id       text NOT NULL,
    organization_id  text,
    role             text NOT NULL,
    account_state    text NOT NULL,
    factor           text NOT NULL,
    owed             boolean NOT NULL,
    since            timestamptz NOT NULL,
    last_verified_at timestamptz,
    locked_until     timestamptz,
    position         bigint NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX ON user_status (partner_id, factor, account_id);
CREATE TABLE partner_policy (
    partner_id            text PRIMARY KEY,
    enforce_partner_users boolean NOT NULL,
    enforce_organizations boolean NOT NULL,
    version               integer NOT NULL,
    changed_at            timestamptz,
    changed_by            text,
    position              bigint NOT NULL
);
CREATE TABLE mail_state (
    mail_id    text PRIMARY KEY,
    account_id text NOT NULL,
    partner_id text NOT NULL,
    kind       text NOT NULL,
    because    bigint NOT NULL,
    state      text NOT NULL,
    tries      integer NOT NULL,
    error      text NOT NULL,
    owed_at    timestamptz NOT NULL,
    settled_at timestamptz,
    position   bigint NOT NULL
);
CREATE INDEX ON mail_state (account_id, because DESC);
