"""The operator: watches flow runs, deployments and pods, and reconciles the cluster with them.

`handlers` and `observers` receive events, `mintaka_controller` reads and applies, the core decides; `cluster` is the only
module that talks to the API server.
"""
