"""The embedded API server, from the public object down; calls go down, never up.

``server``
    The public object.
``http``, ``front``, ``connections``, ``dispatch``, ``faults``
    Requests and answers, sockets and threads, from a request to its answer, and
    what goes wrong on the way.
``controllers``, ``namespaces``, ``kubelet``, ``starts``, ``timers``
    What happens by itself, later.
``objects``, ``streams``, ``lists``, ``admission``, ``quota``, ``deletion``
    The verbs of the API.
``views``, ``tables``, ``requests``, ``selectors``
    How objects are shown, and what a request asks for.
``decoding``, ``defaults``, ``validation``, ``patches``, ``metadata``, ``quantities``
    What objects are and become.
``store``, ``errors``, ``resources``
    What is kept, what is said no with, and of which kinds.
"""
