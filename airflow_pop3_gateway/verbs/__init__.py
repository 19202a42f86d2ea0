"""The work behind the verbs of the command line, one module each."""
