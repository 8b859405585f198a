"""Writing history: the statements for SQLite and PostgreSQL, over SQLAlchemy's connections or the standard library's.

Nothing here imports SQLAlchemy: a script that writes to its own file only pays for `sqlite3`.
"""
