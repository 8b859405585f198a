"""All SQL that asks for history."""
