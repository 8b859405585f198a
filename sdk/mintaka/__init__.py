"""Mintaka: flows are functions, runs are resources."""
