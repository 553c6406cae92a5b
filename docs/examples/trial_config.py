"""Labs on a cluster without nodes, whose notebooks run beside the Hub, to try LabSpawner."""

import os
from asyncio import create_subprocess_exec

from jupyterhub.utils import random_port

from lab_storage.jupyterhub import LabSpawner


class TrialSpawner(LabSpawner):
    notebook = None

    async def start(self):
        self.ip, self.port = "127.0.0.1", random_port()
        await super().start()  # creates the lab, and waits until its pod runs
        command = "jupyterhub-singleuser", "--allow-root"
        env = os.environ | self.get_env()  # the Hub's PATH, and what is in the lab's config map
        self.notebook = await create_subprocess_exec(*command, env=env, start_new_session=True)
        return f"http://{self.ip}:{self.port}"

    async def poll(self):
        if self.notebook and self.notebook.returncode is not None:
            await self.stop()
        return await super().poll()

    async def stop(self, now=False):
        notebook, self.notebook = self.notebook, None
        if notebook and notebook.returncode is None:
            notebook.terminate()
            await notebook.wait()
        await super().stop(now)


c = get_config()  # noqa: F821 - JupyterHub's
c.JupyterHub.spawner_class = TrialSpawner
c.JupyterHub.bind_url = "http://127.0.0.1:8000"  # for this machine alone
c.JupyterHub.authenticator_class = "dummy"  # any name and any password
c.Authenticator.allow_all = True
