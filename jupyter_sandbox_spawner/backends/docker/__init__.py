"""The Docker backend: hardened containers without a network, on a daemon of this host."""
