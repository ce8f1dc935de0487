-- Whose spans began between two positions: what changed, without what did not.
CREATE INDEX status_interval_begun ON status_interval (partner_id, from_position) INCLUDE (account_id);

-- The accounts of a partner in order, each with those of its spans that a stretch of the log touches: those that ended
-- before the stretch are passed over within the index.
CREATE INDEX status_interval_touched
    ON status_interval (partner_id, account_id, (coalesce(to_position, 9223372036854775807)), from_position);
