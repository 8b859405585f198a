"""Where submitted calls run: threads, and executors that carry bodies to other processes and machines."""
