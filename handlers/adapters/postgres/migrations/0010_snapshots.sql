-- Where the folding of a stream with many facts may begin. May be emptied at any time: it then costs a fold. The seal is
-- made with a key that is not in this database, over stream, version, rules and state.
CREATE TABLE state_snapshot (
    stream text PRIMARY KEY,
    version bigint NOT NULL,
    state text NOT NULL,
    seal text NOT NULL
);
