"""History in a database: its schema and migrations, how reports are taken in, how it is read.

The API and the SDK stand on it, so that what a script keeps in its own SQLite file and what a cluster keeps in PostgreSQL
is the same history, written by the same statements.
"""
