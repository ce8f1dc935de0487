-- Rows that are kept for a while only, and what finds the oldest of them; and which key-encryption keys are still needed.
ALTER TABLE command ADD COLUMN at timestamptz NOT NULL DEFAULT now();
CREATE INDEX command_by_time ON command (at);
CREATE INDEX processed_message_by_time ON processed_message (at);
CREATE INDEX mail_queue_sent_by_time ON mail_queue (owed_at) WHERE state = 'sent';
ALTER TABLE mailed_link ADD COLUMN at timestamptz NOT NULL DEFAULT now();
CREATE INDEX mailed_link_by_time ON mailed_link (at);
CREATE INDEX client_secret_by_key ON client_secret (kek_version);
