-- Facts that this release could not read: of a kind that only a newer one knows, or damaged. There are few or none of them.
-- Readiness asks for the first ones, and the page of users whether an account has one.
CREATE INDEX audit_entry_unreadable ON audit_entry (account_id, position) WHERE topic = 'unknown';
