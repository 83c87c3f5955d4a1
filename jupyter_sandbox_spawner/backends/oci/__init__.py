"""The local backend: an OCI runtime as root; each sandbox has its own namespaces, cgroup and host uid."""
