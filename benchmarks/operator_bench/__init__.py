"""Parts of operator_runs.py."""
