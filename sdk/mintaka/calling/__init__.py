"""What is called, and with what: the decorated function, its parameters, its inputs and where they come from."""
