-- The role of the running service: it may connect; `watchword migrate` lets it use the tables.
\set password `cat /run/secrets/app_password`
CREATE ROLE watchword_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'password';
REVOKE ALL ON DATABASE watchword FROM PUBLIC;
GRANT CONNECT ON DATABASE watchword TO watchword_app;
