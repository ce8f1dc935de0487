-- The view "audit_trail": which fact concerns whom. The facts themselves stay in the log alone.
CREATE TABLE audit_entry (
    position   bigint PRIMARY KEY,
    partner_id text NOT NULL,
    account_id text,
    actor      text NOT NULL,
    topic      text NOT NULL,
    stream     text NOT NULL
);
CREATE INDEX ON audit_entry (partner_id, position);
CREATE INDEX ON audit_entry (partner_id, account_id, position);
CREATE INDEX ON audit_entry (partner_id, actor, position);
CREATE INDEX ON audit_entry (partner_id, topic, position);
CREATE INDEX ON audit_entry (stream) WHERE topic = 'mail.owed';
