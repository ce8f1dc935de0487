-- The menu of a partner's organizations is read for each page of users, of all that there are.
CREATE INDEX ON organization_access (partner_id);
