"""The parts of a controller that depend neither on Kubernetes nor on HTTP or SQL: what the operator and the API server share.

It stands on the core alone and reaches the outside through ports. The operator adapts it to Kubernetes; the API uses its
validation of JSON Schemas.
"""
