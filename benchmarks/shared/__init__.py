"""What several benchmarks use: figures and tables, processes, requests counted at the API server."""
