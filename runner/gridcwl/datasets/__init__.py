"""Data found elsewhere as inputs: items of an ESAP basket, rows of Virtual Observatory results, Zooniverse exports."""
