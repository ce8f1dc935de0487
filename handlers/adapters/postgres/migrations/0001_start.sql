-- The tables beside the log. The log itself (stored_events) and the tracking of followers are the library's.
-- What is written together with facts stands first; nothing of it is needed to know what happened.

-- Facts are added and read, never changed: not by the application, and not by mistake of anybody else.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'facts never change: % on % is refused', TG_OP, TG_TABLE_NAME;
END $$;
CREATE TRIGGER facts_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON stored_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Every command that added facts, with its last fact, so that an answer that was lost can be looked up.
CREATE TABLE command (
    command_id  text PRIMARY KEY,
    fingerprint text NOT NULL,
    stream      text NOT NULL,
    version     bigint NOT NULL
);

-- Who may do what, folded from the facts in their own transaction, so that no decision about access waits for a view.
CREATE TABLE partner_access (
    partner_id               text PRIMARY KEY,
    name                     text NOT NULL,
    type                     text NOT NULL,
    partner_users_generation bigint NOT NULL DEFAULT 0,
    organizations_generation bigint NOT NULL DEFAULT 0
);
CREATE TABLE organization_access (
    organization_id text PRIMARY KEY,
    partner_id      text NOT NULL REFERENCES partner_access,
    name            text NOT NULL
);
CREATE TABLE account_access (
    account_id      text PRIMARY KEY,
    partner_id      text NOT NULL REFERENCES partner_access,
    organization_id text REFERENCES organization_access,
    role            text NOT NULL,
    disabled        boolean NOT NULL DEFAULT false,
    generation      bigint NOT NULL DEFAULT 0
);
CREATE INDEX ON account_access (partner_id, role) WHERE role IN ('owner', 'super_admin', 'admin');

-- What must be forgotten on demand: names, addresses, passwords, keys, secrets.
CREATE TABLE credential (
    credential_id uuid PRIMARY KEY,
    mail_key      text NOT NULL,
    password_hash text NOT NULL
);
CREATE INDEX ON credential (mail_key);
CREATE TABLE person (
    account_id    text PRIMARY KEY REFERENCES account_access,
    partner_id    text NOT NULL,
    place         text NOT NULL,
    name          text NOT NULL,
    mail_address  text NOT NULL,
    mail_key      text NOT NULL,
    credential_id uuid REFERENCES credential,
    CONSTRAINT one_account_for_an_address_in_a_place UNIQUE (place, mail_key) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ON person (mail_key);
CREATE INDEX ON person (credential_id);
CREATE INDEX person_by_name ON person (partner_id, lower(name) COLLATE "C", account_id);
CREATE INDEX person_by_mail_address ON person (partner_id, mail_key COLLATE "C", account_id);
CREATE TABLE data_key (
    account_id  text PRIMARY KEY REFERENCES account_access,
    wrapped     bytea NOT NULL,
    kek_version integer NOT NULL
);
CREATE INDEX ON data_key (kek_version);
CREATE TABLE secret (
    secret_ref text PRIMARY KEY,
    account_id text NOT NULL REFERENCES account_access,
    sealed     bytea NOT NULL
);
CREATE INDEX ON secret (account_id);

-- Sign-ins.
CREATE TABLE session (
    token_hash            bytea PRIMARY KEY,
    handle                text NOT NULL,
    state                 text NOT NULL,
    account_id            text REFERENCES account_access,
    generation            bigint NOT NULL,
    population_generation bigint NOT NULL,
    choices               text[] NOT NULL,
    level                 smallint NOT NULL,
    required_level        smallint NOT NULL,
    stepped_up_until      timestamptz,
    device                text NOT NULL,
    created_at            timestamptz NOT NULL,
    seen_at               timestamptz NOT NULL,
    expires_at            timestamptz NOT NULL,
    idle                  interval NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX ON session (account_id, created_at);
CREATE INDEX ON session (expires_at);
CREATE TABLE throttle (
    key           text PRIMARY KEY,
    tries         integer NOT NULL,
    window_ends   timestamptz,
    blocked_until timestamptz,
    blocks        integer NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE TABLE mailed_link (
    link_id     text PRIMARY KEY,
    account_id  text NOT NULL REFERENCES account_access,
    secret_hash text NOT NULL,
    wrong       integer NOT NULL DEFAULT 0
);
CREATE INDEX ON mailed_link (account_id);
CREATE TABLE sign_in_log (
    at           timestamptz NOT NULL,
    mail_digest  text NOT NULL,
    ip_prefix    text NOT NULL,
    known_device boolean NOT NULL,
    outcome      text NOT NULL
);
CREATE INDEX ON sign_in_log (at);
CREATE TABLE service_token (
    token_id   text PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE,
    scopes     text[] NOT NULL,
    partner_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

-- Messages and mail.
CREATE TABLE relay_position (
    name     text PRIMARY KEY,
    position bigint NOT NULL
);
CREATE TABLE processed_message (
    consumer   text NOT NULL,
    message_id text NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, message_id)
);
CREATE TABLE mail_queue (
    mail_id    text PRIMARY KEY,
    kind       text NOT NULL,
    account_id text NOT NULL REFERENCES account_access,
    tenant     text NOT NULL,
    because    bigint NOT NULL,
    link_id    text,
    expires_at timestamptz,
    owed_at    timestamptz NOT NULL,
    state      text NOT NULL CHECK (state IN ('pending', 'sent', 'dead')),
    tries      integer NOT NULL DEFAULT 0,
    next_try   timestamptz NOT NULL,
    last_error text NOT NULL DEFAULT ''
);
CREATE INDEX ON mail_queue (next_try) WHERE state = 'pending';
CREATE INDEX ON mail_queue (owed_at) WHERE state = 'dead';
