"""The Mintaka API: mirrors flow runs into a database, ingests history, serves queries and forwards intents to Kubernetes.

Flow runs do not depend on it: they start, progress and finish while it is down. It only writes `spec` in Kubernetes, never
`status`. It can be dropped and rebuilt for everything that is still in the cluster.
"""
