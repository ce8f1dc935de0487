-- The role with which a replica follows. For a database that is there already, run it once:
--   docker compose -f docker-compose.yml -f .docker/several.yml exec postgres psql -U watchword_owner -d watchword -f /docker-entrypoint-initdb.d/replica.sql
\set password `cat /run/secrets/replica_password`
CREATE ROLE watchword_replica LOGIN REPLICATION PASSWORD :'password';
