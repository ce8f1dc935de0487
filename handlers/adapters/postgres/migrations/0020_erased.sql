-- Lists of the past name those who were erased since as long as they were there.
CREATE INDEX user_status_erased ON user_status (partner_id, account_id) WHERE account_state = 'erased';
