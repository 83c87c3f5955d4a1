"""The Kubernetes backend: restricted pods with one way out, in a namespace of their own."""
