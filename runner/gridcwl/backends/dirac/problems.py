"""Errors of DIRAC's client as gridcwl's, by what can be done about them."""

from __future__ import annotations

import re

from gridcwl.backends.batch.errors import CredentialMissing, RequestRefused, Unreachable
from gridcwl.errors import BackendError


class DiracUnreachable(Unreachable):
    """A service does not answer, or not now: the same call may work in a moment."""


class DiracCredential(CredentialMissing):
    """There is no proxy, or it has ended: nothing works until it is renewed."""


class DiracRefused(RequestRefused):
    """DIRAC understood, and says no."""


class TooManyJobs(DiracRefused):
    """One submission had more jobs than the server takes.

    Attributes:
        limit: how many it takes.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(f"DIRAC takes at most {limit} jobs in one submission")
        self.limit = limit


_CREDENTIAL = re.compile(
    r"no proxy found|proxy file|can't find.*proxy|(pem file|proxy|certificate).*(has )?expired|"
    r"not valid after|no certificate|token.*expired|EPROXY",
    re.IGNORECASE,
)
_UNREACHABLE = re.compile(
    r"refused|DNS lookup failed|time[d ]?-?out|reset by peer|unreachable|no route to host|can't connect|"
    r"connection|broken pipe|peer (closed|did not)|temporarily|not responding|unexpected eof|ssl ?error|"
    r"MySQL|deadlock|lock wait|server has gone away|is not available|try again|\[Errno \d+\]|HTTP 50[0234]",
    re.IGNORECASE,
)
_LONGEST = 400


def problem(doing: str, message: str) -> BackendError:
    """The error that DIRAC's message means.

    Args:
        doing: what was tried, as it ends the sentence "DIRAC ... ": "submitting 20 jobs".
        message: of DIRAC; it may hold half of a database.
    """
    text = " ".join(message.split())
    text = text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."
    if _CREDENTIAL.search(text):
        return DiracCredential(
            f"DIRAC cannot be asked ({doing}): {text}",
            remedy="Make or renew the proxy: dirac-proxy-init; X509_USER_PROXY names another file.",
        )
    if "URL for service" in text or "No CFG" in text:
        return DiracRefused(
            f"DIRAC's client is not configured ({doing}): {text}",
            remedy="Run dirac-configure, or name a configuration in DIRACSYSCONFIG.",
        )
    if _UNREACHABLE.search(text):
        return DiracUnreachable(
            f"DIRAC does not answer ({doing}): {text}", remedy="Is the service up, and the network? Then try again."
        )
    return DiracRefused(
        f"DIRAC refuses ({doing}): {text}",
        remedy="gridcwl doctor checks DIRAC and the proxy; if they are fine, ask DIRAC's administrators.",
    )
