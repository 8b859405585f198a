"""Runs as processes of this machine: the controller's port `Workloads` without Kubernetes.

A *fork server*, one small process beside the server, forks a *supervisor* for each attempt. The supervisor starts the flow's
process, stores the end of its output, ends everything that it started, and records how it ended in the attempt's folder. It
depends on neither the server nor the fork server: the record is written even if both are killed. The server reads everything from
the folders (attempt_folder.py), also after it was killed and started again.
"""
