"""Runs of deployments, requested of an API: which call one is of, the request, waiting for its end, and what users see of it."""
