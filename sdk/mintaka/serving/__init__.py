"""Deployments that a program creates from its flows: `flow.serve`, `serve`, `flow.to_deployment`, `flow.deploy`; and those of a prefect.yaml.

| module | what it does |
| --- | --- |
| `deployable`, `keyword_types` | the methods of flows, and `serve` and `deploy`; light, because every flow has them |
| `flow_places`, `flow_sources` | how a new process finds a flow again; flows of other folders |
| `schedule_arguments`, `calendar_rules` | schedules in Prefect's notation, converted to those of a FlowDeployment |
| `job_variables` | a work pool's variables, converted to a pod template |
| `runner_deployments` | a flow with the settings of its deployment, and the manifest made of it |
| `documents` | manifests applied at a server or in a cluster |
| `serve_loop`, `served_manifests`, `servers` | find or start the server, register, wait for the signal to end, suspend |
| `deploying` | `flow.deploy`, `deploy` |
| `prefect_yaml`, `placeholders`, `steps`, `converting` | `mintaka convert` |
"""
