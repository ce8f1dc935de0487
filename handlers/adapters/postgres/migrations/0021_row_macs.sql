-- Rows that let somebody in carry a MAC whose key is outside the database. Sessions from before have none, so their people
-- sign in again; service tokens are given theirs once, by the run of `migrate` that applies this.
ALTER TABLE session ADD COLUMN mac text;
ALTER TABLE service_token ADD COLUMN mac text;
