"""What becomes of pods that do not come up or do not stay up, recorded on a real node.

Each file of ``tests/recordings/statuses`` is one of them (:mod:`tests.statuses.cases`):

``description``
    What is wrong.
``pod``
    The pod as the API server gave it, without ``managedFields``.
``events``
    Its events, oldest first, as the kubelet and the others wrote them.
``moments``
    In some: the ``status`` of that pod at earlier moments, each with what it was (``note``).
``log``, ``previous_log``
    In some: what ``…/log`` and ``…/log?previous=true`` gave then.

``python -m tests.statuses`` makes them anew; so does ``tox -e record``.
"""
