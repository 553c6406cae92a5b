"""The embedded API server, from the public object down; calls go down, never up.

``server``, ``access``, ``cluster``
    The public object: its life and faults, its users, and what is behind its API.
``http``, ``writing``, ``front``, ``connections``, ``dispatch``, ``rules``, ``faults``
    Requests and answers, sockets and threads, from a request to its answer, and
    what goes wrong on the way.
``controllers``, ``namespaces``, ``kubelet``, ``starts``, ``timers``
    What happens by itself, later.
``objects``, ``incoming``, ``streams``, ``lists``, ``admission``, ``quota``, ``deletion``
    The verbs of the API.
``discovery``, ``logs``, ``views``, ``tables``, ``requests``, ``selectors``
    What else is served, how objects are shown, and what a request asks for.
``decoding``, ``custom``, ``schema``, ``defaults``, ``patches``, ``metadata``, ``quantities``
    What objects are and become.
``validation``, ``names``, ``*_validation``, ``pod_warnings``
    Which objects are refused, or accepted with a warning.
``store``, ``errors``, ``resources``, ``arguments``
    What is kept, how the server refuses, which kinds there are, and checks of arguments.
"""
