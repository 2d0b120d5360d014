"""The command line: thin. Options become a plan, one function runs, the result is shown."""
