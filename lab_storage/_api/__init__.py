"""The conversation with the API server: request, answer, retry, objects, watch, workers."""
