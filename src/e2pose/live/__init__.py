"""Detection from any source into files and an interactive window whose keys change the running model."""
