"""How pods fare, for the kubelets that stand in for a real one.

``behaviours``
    The table: what is written about a pod, by name, as data.
``courses``
    The same for one pod, step by step.
``statuses``
    The JSON of a status.
``endings``
    The JSON of the last status of a pod that is deleted.
"""
