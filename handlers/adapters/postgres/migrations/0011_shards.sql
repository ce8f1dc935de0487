-- Views are divided into eight shards by tenant, each with a position of its own. They begin where the whole view stood.
-- Where minutes begin concerns all tenants: it becomes a view by itself, undivided, at the position of the view it was in.
INSERT INTO notification_tracking (application_name, notification_id)
    SELECT application_name || '/' || shard, notification_id
    FROM notification_tracking CROSS JOIN generate_series(0, 7) AS shard
    WHERE application_name IN ('user_status', 'partner_policy', 'mail_state', 'status_history', 'audit_trail')
    UNION ALL
    SELECT 'log_minute', notification_id FROM notification_tracking WHERE application_name = 'status_history';
DELETE FROM notification_tracking
    WHERE application_name IN ('user_status', 'partner_policy', 'mail_state', 'status_history', 'audit_trail');
