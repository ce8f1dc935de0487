"""What was ever written must stay readable: one golden for each fact and version, and the schema that is published."""
