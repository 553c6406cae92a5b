"""Labs as Celery tasks (extra ``celery``).

In a module that workers and senders import::

    app = Celery("labs", broker="redis://localhost", backend="redis://localhost")
    labs = make_tasks(app)

Workers have access to the cluster, and run tasks in processes, greenlets or threads. Senders need
the module and the broker alone::

    lab = LabObjects.from_manifests(manifests, labs.names_of("jovyan"))
    result = labs.create.delay("jovyan", lab.to_manifests(), 120)
    result.info                    # {"events": ["Pulling image …", …], …} while it starts
    result.get()                   # "Running", or raises what the library raised in the worker
    result.revoke(terminate=True)  # cancels it
"""

from lab_storage.celery.task import LabTask
from lab_storage.celery.tasks import LabTasks, load_storage, make_tasks

__all__ = ["LabTask", "LabTasks", "load_storage", "make_tasks"]
