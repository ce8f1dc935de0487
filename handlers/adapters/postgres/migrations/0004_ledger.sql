-- The tree over the log, one row for each fact in the order of positions: its number from 0 without gaps, and the
-- hashes of all full subtrees that end with it (32 bytes each, the leaf's own first), so that every node of the tree
-- stands in exactly one row. Rows are added, never changed; they themselves say how far the tree has come.
CREATE TABLE ledger_leaf (
    number   bigint PRIMARY KEY,
    position bigint NOT NULL UNIQUE,
    hashes   bytea NOT NULL
);
ALTER TABLE ledger_leaf ALTER COLUMN hashes SET STORAGE PLAIN;
CREATE TRIGGER leaves_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_leaf
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A copy of each signed checkpoint, so that one that is lost from the file outside the database is noticed.
CREATE TABLE ledger_checkpoint (
    size bigint PRIMARY KEY,
    note text NOT NULL
);
CREATE TRIGGER checkpoints_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
