"""The controller: takes keys from a work queue, gathers an observation, lets the core decide, applies the plan.

It depends only on the core and accesses the outside through the ports of `ports.py`: it knows neither Kubernetes nor HTTP
nor SQL. `mintaka_operator` provides custom resources and pods; the simulation provides both in memory, with faults. The API
uses its validation of JSON Schemas.
"""
