"""The API of Mintaka: mirrors flow runs into a database, takes in history, answers questions, passes intents on.

Nothing runs because of it: flow runs start, progress and finish while it is away. It only writes `spec` in Kubernetes,
never `status`, and it can be dropped and rebuilt for whatever still lives in the cluster.
"""
