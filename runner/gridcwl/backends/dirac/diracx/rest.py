"""One call of DiracX's REST interface: with a token that is good, and with our errors instead of its."""

from __future__ import annotations

import email.utils
import logging
import os
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl import imports, telemetry
from gridcwl.backends.dirac.diracx.tokens import TokenFile
from gridcwl.backends.dirac.problems import DiracCredential, DiracRefused, DiracUnreachable
from gridcwl.errors import BackendError, ConfigError
from gridcwl.model import limits

if TYPE_CHECKING:
    import httpx

_CLIENT_ID = "myDIRACClientID"
"""What DiracX calls clients that are nobody in particular."""
_LONGEST = 400
_TRIES = 3
_OF_THE_BODY = ("content-encoding", "content-length", "transfer-encoding")


class Rest:
    """A DiracX, and us. For many threads."""

    def __init__(self, url: str, credentials: Path, *, timeout_s: float = 120.0) -> None:
        """Prepare; nothing is asked yet.

        Raises:
            ConfigError: the HTTP client is not installed.
        """
        imports.require("httpx", "DiracX")
        imports.load("httpx")
        import httpx

        self._httpx = httpx
        # It tells of every address that is asked for, and presigned ones are as good as a password.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        # A server lets go of a connection that is not used for 5 s, perhaps in the moment in which we use it again.
        limits = httpx.Limits(keepalive_expiry=2.0)
        self._client = httpx.Client(timeout=timeout_s, verify=_trusted(url), follow_redirects=False, limits=limits)
        self._url = url.rstrip("/")
        self._endpoint: str | None = None
        self._skew_s = 0.0
        self.tokens = TokenFile(credentials, self._renew)

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def ask(
        self, doing: str, method: str, path: str, *, json: Any = None, once: bool = False, **params: Any
    ) -> httpx.Response:
        """Ask, as ourselves; and again at once where the server fails, as it does when its database is in a deadlock.

        Args:
            doing: what this is, as it ends the sentence "DiracX ... ": "submitting jobs".
            method: of HTTP.
            path: below ``/api``.
            json: the body.
            once: what it does is not to be done twice.
            params: the query.

        Raises:
            DiracUnreachable: it does not answer, or not now.
            DiracCredential: it does not know us.
            DiracRefused: it says no; ``Answered`` with the number of HTTP.
        """
        for left in reversed(range(_TRIES)):
            header = {"Authorization": f"Bearer {self.tokens.access()}"}
            answer = self._sent(doing, method, f"{self._url}/api{path}", json=json, params=params, headers=header)
            if not left or (answer.status_code != 401 and (once or answer.status_code != 500)):
                break
            if answer.status_code == 401:
                self.tokens.forget()
        self._look_at_the_clock(answer)
        if answer.is_success or answer.status_code == 416:  # no such page
            return answer
        raise _problem(doing, answer.status_code, _detail(answer))

    def put(self, doing: str, url: str, fields: Mapping[str, str], content: bytes) -> None:
        """Send a file to a presigned address, without saying who we are.

        Raises:
            DiracUnreachable: it does not answer, or not now.
            DiracRefused: it says no.
        """
        answer = self._sent(doing, "POST", url, data=dict(fields), files={"file": ("file", content)})
        if not answer.is_success:
            raise _problem(doing, answer.status_code, "its storage did not accept it")

    def get(self, doing: str, url: str) -> bytes:
        """Fetch a sandbox from a presigned address.

        Raises:
            LimitExceeded: it is larger than a sandbox may be; no more of it is read.
            DiracUnreachable: it does not answer, or not now.
            DiracRefused: it says no.
        """
        answer = self._sent(doing, "GET", url, most=(limits.SANDBOX_BYTES, "The output sandbox"))
        if not answer.is_success:
            raise _problem(doing, answer.status_code, "its storage did not return it")
        return bytes(answer.content)

    def time(self) -> float:
        """What the server's clock may show at most, seconds since 1970."""
        return time.time() + self._skew_s

    def _look_at_the_clock(self, answer: httpx.Response) -> None:
        date = email.utils.parsedate_to_datetime(answer.headers["date"]) if "date" in answer.headers else None
        if date is not None:
            self._skew_s = max(0.0, date.timestamp() + 1 - time.time())  # it leaves out what is less than a second

    def _sent(
        self,
        doing: str,
        method: str,
        url: str,
        most: tuple[int, str] = (limits.ANSWER_BYTES, "DiracX's answer"),
        **more: Any,
    ) -> httpx.Response:
        """Send a request; the answer has its body, which is read as far as ``most``, and what that is for people."""
        try:
            with telemetry.call("DiracX", doing), self._client.stream(method, url, **more) as answer:
                return self._whole(answer, *most)
        except self._httpx.InvalidURL as error:
            raise ConfigError(
                f"DIRACX_URL is no address: {error}", remedy="It is like https://diracx.example.org."
            ) from None
        except self._httpx.HTTPError as error:
            message = str(error).partition("?")[0]
            raise DiracUnreachable(
                f"DiracX at {self._url} does not answer ({doing}): {type(error).__name__}: {message}",
                remedy="Is DIRACX_URL right, the service up, and the network? Then try again.",
            ) from None

    def _whole(self, answer: httpx.Response, most: int, what: str) -> httpx.Response:
        announced = answer.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit():
            limits.check(int(announced[:20]), most, what)
        parts, size = [], 0
        for part in answer.iter_bytes():
            parts.append(part)
            size += len(part)
            limits.check(size, most, what)
        headers = [(name, value) for name, value in answer.headers.multi_items() if name not in _OF_THE_BODY]
        whole = b"".join(parts)
        return self._httpx.Response(answer.status_code, headers=headers, content=whole, request=answer.request)

    def _renew(self, refresh: str) -> Mapping[str, Any]:
        doing = "renewing the token"
        if self._endpoint is None:
            found = self._sent(doing, "GET", f"{self._url}/.well-known/openid-configuration")
            if not found.is_success:
                raise _problem(doing, found.status_code, _detail(found))
            self._endpoint = str(found.json()["token_endpoint"])
        asked = {"client_id": _CLIENT_ID, "grant_type": "refresh_token", "refresh_token": refresh}
        answer = self._sent(doing, "POST", self._endpoint, data=asked)
        if answer.is_success:
            renewed: Mapping[str, Any] = answer.json()
            return renewed
        if answer.status_code in (400, 401, 403):
            raise _login(doing, _detail(answer))
        raise _problem(doing, answer.status_code, _detail(answer))


class Answered(DiracRefused):
    """DiracX says no.

    Attributes:
        status: HTTP's number.
        detail: what it says.
    """

    def __init__(self, message: str, status: int, detail: str) -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


def _problem(doing: str, status: int, detail: str) -> BackendError:
    if status == 401:
        return _login(doing, detail)
    if status == 429 or status >= 500:
        return DiracUnreachable(
            f"DiracX does not answer ({doing}): HTTP {status}: {detail}", remedy="Is it overloaded? Then try again."
        )
    return Answered(f"DiracX refuses ({doing}): HTTP {status}: {detail}", status, detail)


def _login(doing: str, detail: str) -> DiracCredential:
    return DiracCredential(f"DiracX authentication failed ({doing}): {detail}", remedy="Log in again: dirac login VO.")


def _detail(answer: httpx.Response) -> str:
    """What an answer says is wrong; what it repeats of our question is left out."""
    try:
        message = answer.json().get("detail", "")
    except (ValueError, AttributeError):
        message = answer.text
    if isinstance(message, list):  # FastAPI: one for each wrong field, with what was given
        message = "; ".join(str(each.get("msg", "")) for each in message if isinstance(each, dict))
    words = " ".join(str(message).split()) or answer.reason_phrase
    return words if len(words) <= _LONGEST else words[:_LONGEST] + " ..."


def _trusted(url: str) -> ssl.SSLContext | bool:
    """Who may vouch for the server: the grid's authorities, too, where they are known here."""
    if not url.startswith("https:"):
        return True
    context = ssl.create_default_context()
    named = os.environ.get("DIRACX_CA_PATH")
    for place in (named, os.environ.get("X509_CERT_DIR"), "/etc/grid-security/certificates"):
        if place and Path(place).is_dir():
            context.load_verify_locations(capath=place)
        elif place and Path(place).is_file():
            context.load_verify_locations(cafile=place)
    return context
