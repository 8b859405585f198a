"""The local server: the controller's ports for rows and processes, and REST on a loopback address, in one process."""
