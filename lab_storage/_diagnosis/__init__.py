"""Why a pod does not run: reading it, the words of Kubernetes, and the rules."""
