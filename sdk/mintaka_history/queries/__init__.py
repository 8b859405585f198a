"""All SQL that reads history."""
