-- Whoever follows the log asks how far it is settled, and then for what comes next. Both are one statement here: between
-- them lay a round trip, which a fact waited for on its way to the message stream and into the views.

-- How far the log is settled, as log_horizon says it, in a first row: the newest position, and who is adding facts, parted
-- by commas. Then the next facts, settled or not. The order counts: the facts are looked up by a statement of its own,
-- so it sees what was committed before the horizon was read. At a stricter isolation it would not, and facts that the
-- horizon counts as committed would be passed over; so that is refused.
CREATE FUNCTION log_next(known bigint, after bigint, most integer)
RETURNS TABLE (notification_id bigint, originator_id text, originator_version bigint, topic text, state bytea)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the log can only be followed at the isolation level read committed';
    END IF;
    RETURN QUERY SELECT newest, array_to_string(adding, ','), NULL::bigint, NULL::text, NULL::bytea FROM log_horizon(known);
    RETURN QUERY SELECT e.notification_id, e.originator_id, e.originator_version, e.topic, e.state
        FROM stored_events e WHERE e.notification_id > after ORDER BY e.notification_id LIMIT most;
END $$;
