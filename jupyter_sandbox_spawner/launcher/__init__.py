"""The launcher: the only program that runs the OCI runtime, Docker or Kubernetes."""
