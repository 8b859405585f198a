"""All SQL statements of the API: functions from a connection and values to rows or documents."""
