-- The view "status_history": what every account and every policy looked like at any position of the log. A span lasts
-- from its own position up to the next one's; the one without an end lasts still. Spans of one account leave no gaps.
CREATE TABLE status_interval (
    account_id      text NOT NULL,
    partner_id      text NOT NULL,
    organization_id text,
    role            text NOT NULL,
    account_state   text NOT NULL,
    factor          text NOT NULL,
    owed            boolean NOT NULL,
    since           timestamptz NOT NULL,
    locked_until    timestamptz,
    from_position   bigint NOT NULL,
    from_at         timestamptz NOT NULL,
    to_position     bigint,
    to_at           timestamptz,
    PRIMARY KEY (account_id, from_position)
);
CREATE UNIQUE INDEX ON status_interval (account_id) WHERE to_position IS NULL;
CREATE INDEX ON status_interval (partner_id, ((from_at AT TIME ZONE 'UTC')::date), from_position);
CREATE INDEX ON status_interval (partner_id, factor, to_position) INCLUDE (from_position, account_id, role);
CREATE TABLE policy_interval (
    partner_id            text NOT NULL,
    enforce_partner_users boolean NOT NULL,
    enforce_organizations boolean NOT NULL,
    version               integer NOT NULL,
    changed_at            timestamptz,
    changed_by            text,
    from_position         bigint NOT NULL,
    from_at               timestamptz NOT NULL,
    to_position           bigint,
    to_at                 timestamptz,
    PRIMARY KEY (partner_id, from_position)
);
CREATE UNIQUE INDEX ON policy_interval (partner_id) WHERE to_position IS NULL;

-- By how much the facts of one UTC day changed the counts of open accounts: to count is to add up few rows.
CREATE TABLE adoption (
    partner_id text NOT NULL,
    population text NOT NULL,
    day        date NOT NULL,
    accounts   bigint NOT NULL,
    active     bigint NOT NULL,
    pending    bigint NOT NULL,
    PRIMARY KEY (partner_id, population, day)
) WITH (fillfactor = 50);

-- For each minute with facts, the least position of all facts of this minute or a later one. So it never falls from
-- one minute to the next, though the times of facts may.
CREATE TABLE log_minute (
    minute         timestamptz PRIMARY KEY,
    first_position bigint NOT NULL
);
CREATE INDEX ON log_minute (first_position);

-- For pages of one organization or one role of a large partner.
CREATE INDEX ON user_status (partner_id, organization_id, account_id);
CREATE INDEX ON user_status (partner_id, role, account_id);

-- Who of one population waits longest without an active authenticator.
CREATE INDEX user_status_waiting ON user_status (partner_id, (organization_id IS NULL), since, account_id)
    WHERE factor <> 'active' AND account_state = 'open';
