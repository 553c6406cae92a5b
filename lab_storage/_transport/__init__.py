"""Bytes with a deadline: sockets, names, connections, TLS and its files.

Knows nothing of Kubernetes.
"""
