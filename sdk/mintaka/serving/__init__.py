"""Deployments that a program makes of its flows: `flow.serve`, `serve`, `flow.to_deployment`, `flow.deploy`; and those of a prefect.yaml.

| module | what it does |
| --- | --- |
| `deployable` | the methods of flows; light, because every flow has them |
| `flow_places` | how a new process finds a flow again |
| `schedule_arguments`, `calendar_rules` | schedules as Prefect's users write them, as those of a FlowDeployment |
| `job_variables` | what a work pool's variables are in a pod template |
| `runner_deployments` | a flow with the settings of its deployment, and the manifest made of it |
| `documents` | manifests applied to a local server or a cluster |
| `serve_loop` | register, wait until the process is asked to end, pause |
| `deploying` | `flow.deploy`, `deploy` |
| `prefect_yaml`, `converting`, `commented_yaml` | `mintaka convert` |
"""
