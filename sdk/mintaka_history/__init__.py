"""History in a database: its schema and migrations, ingesting reports, and queries.

The API and the SDK share it: a script's SQLite file and a cluster's PostgreSQL database hold the same history, written by
the same statements.
"""
