"""A spawner for JupyterHub: each user's server is a lab in Kubernetes.

In ``jupyterhub_config.py`` (extra ``jupyterhub``)::

    c.JupyterHub.spawner_class = "lab"
    c.LabSpawner.lab_file = "/srv/jupyterhub/lab.yaml"
    c.JupyterHub.hub_connect_url = "http://hub.notebooks:8081"

It needs the role of the guide on rights, and finds the API server by ``KUBECONFIG`` or, in a
pod, by its ServiceAccount. It works on JupyterHub 5 and 6.
"""

from lab_storage.jupyterhub.spawner import LabSpawner

__all__ = ["LabSpawner"]
