"""Kinds, and their objects as manifests and as models of the official client."""
