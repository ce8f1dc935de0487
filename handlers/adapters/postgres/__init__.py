"""Everything that is kept in PostgreSQL, the only system of record."""
