"""The controller: takes keys from a work queue, gathers what is known, lets the core decide, applies the plan.

It stands on the core alone and speaks to the outside over the ports of `ports.py`: it knows neither Kubernetes nor HTTP nor SQL.
`mintaka_operator` gives it custom resources and pods; the simulation gives it both in memory, with faults. The API uses its validation of
JSON Schemas.
"""
