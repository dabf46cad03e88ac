"""IVOA UWS 1.1 over the runs of the service: https://www.ivoa.net/documents/UWS/."""
