"""DIRAC by DiracX's REST interface and tokens, as one more ``gridcwl.backends.dirac.server.Server``.

tokens      who we are: the file that ``dirac login`` leaves, renewed in time
rest        one call: its token, its answer, or what went wrong
sandboxes   archives to and from DiracX's sandbox store, by presigned addresses
server      jobs: submitted, confirmed, looked for, killed
"""
