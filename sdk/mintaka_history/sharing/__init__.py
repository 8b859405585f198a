"""State that runs share through the database: functions of a session, so that scripts and the API run the same statements."""
