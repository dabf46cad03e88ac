"""The record of a run: its folder, journal and history, and what is shown of them."""
