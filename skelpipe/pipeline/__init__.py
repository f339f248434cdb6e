"""A DAG of commands: what a pipeline file says, what is to be done for it, and the run."""
