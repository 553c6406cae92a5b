"""Labs as Celery tasks.

Workers have access to the cluster:

    celery -A celery_app worker --concurrency 8
    celery -A celery_app worker --concurrency 200 --pool gevent

Senders need this module and the broker alone.
"""

from celery import Celery

from lab_storage.celery import make_tasks

app = Celery("labs", broker="redis://localhost", backend="redis://localhost")
# or what CELERY_BROKER_URL and CELERY_RESULT_BACKEND say
labs = make_tasks(app, prefix="lab-")
