"""The local server: the controller's ports for rows of the database and processes of this machine."""
