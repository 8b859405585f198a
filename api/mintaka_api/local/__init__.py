"""The local server: the controller's ports over rows of the database and processes of this machine."""
