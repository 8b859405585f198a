"""Runs of deployments, requested from an API: the identity of the call, the request, the wait for the end, and the view that users get."""
