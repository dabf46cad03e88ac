"""Runs the workflows of a gridcwl service from an ESAP gateway, with the tokens of the gateway's users."""
