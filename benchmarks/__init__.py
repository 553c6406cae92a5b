"""What `lab_storage` costs, beside other clients, on one server: ``python -m benchmarks``."""
