"""A Kubernetes control plane without Docker, for tests and developers."""
