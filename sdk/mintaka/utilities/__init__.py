"""Where Prefect's users look for the words around arguments; what is here lives in `mintaka` itself."""
