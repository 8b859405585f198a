"""The operator: watches flow runs, deployments and pods, and makes the cluster follow them.

`handlers` hears, `gathering` reads, the core decides, `applying` does; `cluster` is the only way to the API server.
"""
