"""Writing history: the statements, for SQLite and PostgreSQL, over SQLAlchemy's connections or the standard library's.

Nothing here imports SQLAlchemy: a script that keeps its history in its own file pays for `sqlite3` only.
"""
