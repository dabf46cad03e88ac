"""gridcwl as a service: ``gridcwl serve``.

HTTP in front of the same Client and the same journals that the command line uses: GA4GH WES 1.1, and what
``gridcwl --server`` needs in addition. ``db`` holds which runs there are, ``driver`` works on them, ``submission``
checks what clients send, ``wes`` and ``native`` are the routes. The rules for untrusted documents are in
``docs/service/security.md``.
"""
