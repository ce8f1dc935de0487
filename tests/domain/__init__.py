"""The rules, one file for each module of the domain; the name of a test is the rule as the client would say it."""
