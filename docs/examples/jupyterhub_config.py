"""A JupyterHub whose users' servers are labs in Kubernetes.

pip install "lab_storage[jupyterhub]"
jupyterhub --config jupyterhub_config.py
"""

c = get_config()  # noqa: F821 - JupyterHub's

c.JupyterHub.spawner_class = "lab"
c.LabSpawner.lab_file = "lab.yaml"
c.LabSpawner.namespace_prefix = "lab-"
# How pods reach the Hub, and how the Hub and its proxy reach a pod.
c.JupyterHub.hub_connect_url = "http://hub.notebooks:8081"
c.LabSpawner.lab_url = "http://lab.{namespace}:8888"
# Labs outlive a Hub that is restarted.
c.JupyterHub.cleanup_servers = False
# How long a start may take, in seconds.
c.Spawner.start_timeout = 300
# What users choose from.
c.LabSpawner.profile_list = [
    {"display_name": "Small", "default": True, "override": {"cpu_limit": 1, "mem_limit": "2G"}},
    {"display_name": "Large", "override": {"cpu_limit": 8, "mem_limit": "24G"}},
]
