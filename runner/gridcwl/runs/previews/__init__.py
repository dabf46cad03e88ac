"""Previews of outputs: what the service's pages and notebooks show of a file. Importing this loads nothing."""
