"""What a real API server said, in a file, and played back without a server.

A `Recorder` stands between a client and the server and records what passes;
a `Player` answers from such a file, by `responses
<https://github.com/getsentry/responses>`_. Both take the place of the connection
pool of a ``kubernetes.client.ApiClient``, so that whatever uses that client is
recorded and played: its own API classes, its ``Watch``, and `lab_storage`:

.. code-block:: python

    with Recorder(api_client, path):
        spawn_a_lab(LabStorage(api_client, logger))  # on a real cluster, once

    with Player(client.ApiClient(), path) as player:
        spawn_a_lab(LabStorage(player.api_client, logger))  # in each test

What cannot be recorded: ``exec``, ``attach`` and ``port-forward``, for which the
official client does not use its pool; and when things happened. Whatever stalls,
drips or breaks off needs a real socket.
"""

from ._recording.player import Player, UnexpectedRequestError, UnusedResponsesError
from ._recording.recorder import Recorder

__all__ = ["Player", "Recorder", "UnexpectedRequestError", "UnusedResponsesError"]
