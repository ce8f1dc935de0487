-- Facts are added by many transactions at once, and no lock makes them wait for each other's commit. A position is drawn
-- from a sequence before its transaction commits, so followers may read only up to a horizon below which nothing can
-- still commit.

-- The newest position that was drawn, and then the transactions that are adding facts: each holds its lock on the table
-- from before it draws a position until its facts are seen. Once all of them are gone, every position up to the newest is
-- committed or will never be. Where nothing was drawn after the known position, nobody is looked for.
CREATE FUNCTION log_horizon(known bigint, OUT newest bigint, OUT adding text[])
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO newest FROM stored_events_notification_id_seq;
    IF newest > known THEN
        SELECT coalesce(array_agg(virtualtransaction), '{}') INTO adding FROM pg_locks
        WHERE locktype = 'relation' AND relation = 'stored_events'::regclass AND mode = 'RowExclusiveLock' AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
    END IF;
END $$;

-- Refuses the statement that calls it: a sign-in that went on under a newer token stores nothing.
CREATE FUNCTION refuse_ended_session() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the session has ended' USING ERRCODE = 'WW001';
END $$;
