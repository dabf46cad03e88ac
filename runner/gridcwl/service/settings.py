"""Settings of ``gridcwl serve``: from its TOML file, and from its options.

# service.toml
port = 8080
file_roots = ["/data/shared"]          # input files of this machine may be below these
allowed_urls = ["https://zenodo.org/"] # documents and inputs may come from these
[runs]                                 # as gridcwl.Client takes them
backend = "dirac"
store = "rucio"
"""

from __future__ import annotations

import ipaddress
import socket
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from gridcwl.errors import ConfigError
from gridcwl.service import catalogue_sources
from gridcwl.suggest import did_you_mean


class Organization(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who runs the service."""

    name: str = "Not configured"
    url: str = "https://gridcwl.readthedocs.io"


class Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holders of a token may do, by a scope or a group in it."""

    scope: str = ""
    group: str = ""
    may: tuple[Literal["read", "submit", "operate", "admin"], ...] = ()
    """``read`` sees one's own runs and those of one's groups; ``submit`` has runs, too; ``operate`` sees, cancels and
    resumes the runs of all; ``admin`` may do all of it."""
    dirac_group: str = ""
    """The group at DIRAC of proxies that its holders upload; of several roles the first one that names one."""


class Authentication(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose bearer tokens are accepted."""

    issuer: str
    audience: str
    instructions_url: str = ""
    """A page for people: how to get a token; default: the issuer."""
    groups_claim: str = "groups"
    name_claim: str = "sub"
    clock_skew_s: int = 60
    roles: tuple[Role, ...] = ()
    """None: every valid token may read and submit."""
    client_id: str = ""
    """The service as the issuer's client: for token exchange, renewal and logging in."""
    client_secret_file: Path | None = None
    login_scope: str = "openid profile"
    """What browsers and ``gridcwl login`` ask the issuer for."""
    login_audience: str = ""
    """As the issuer's parameter ``audience``, where it has one: the access token is then for this service."""
    session_hours: float = 12.0
    """How long a browser stays logged in."""
    cli_client_id: str = ""
    """A public client of the issuer, which ``gridcwl login`` uses for the device flow; empty for ``client_id``."""


class Exchange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the token of a request becomes one for Rucio and storage (RFC 8693)."""

    audience: str = ""
    scope: str = "openid offline_access"


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose credentials runs use: with this table, their owners'."""

    key_file: Path | None = None
    """Keys that encrypt them; default: ``credentials.key`` in the service's folder, made if it is not there."""
    rucio: Literal["", "token", "proxy"] = ""
    """How Rucio is authenticated to in an owner's name."""
    rucio_account: str = "{user}"
    """For credentials that name none; empty: the default account of the credentials."""
    dirac: Literal["", "proxy", "service"] = ""
    """How DIRAC is authenticated to in an owner's name; ``service``: jobs are the service's, with its own proxy."""
    storage: Literal["", "token", "proxy"] = ""
    """In addition, for storage elements."""
    exchange: Exchange | None = None

    @property
    def kinds(self) -> tuple[Literal["proxy", "token"], ...]:
        """The kinds of credentials that runs need."""
        wanted = (self.rucio, self.dirac, self.storage)
        return tuple(kind for kind in _KINDS if kind in wanted)

    def account_of(self, user: str) -> str:
        """The account at Rucio of a user's runs."""
        return self.rucio_account.replace("{user}", user)


class Quotas(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What each user may have; 0 is no limit."""

    active_runs: int = 0
    queued_runs: int = 0
    jobs: int = 0
    """Running at a time."""
    stored_mib: int = 0
    """Of attachments and outputs that the service keeps."""
    requests_per_minute: int = 0
    requests_per_minute_and_address: int = 0
    """Also of those who are not known."""


class Facility(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sites that users see under one name, and may choose together."""

    name: str
    sites: tuple[str, ...]
    """Their names, or patterns as ``LCG.*``."""
    description: str = ""
    url: str = ""
    """A page for people."""
    kind: str = ""
    """A word such as ``DIRAC``, for ESAP gateways; empty for the backend's name."""


class WebhookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which webhooks of users are called."""

    urls: tuple[str, ...] = ()
    """Beginnings of URLs; none: no webhooks."""
    private: bool = False
    """Addresses in private networks are called, too."""


class ZooniverseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That exports of Zooniverse are fetched for runs, and from where."""

    endpoint: str = "https://www.zooniverse.org"
    media: tuple[str, ...] = (
        "https://panoptesuploads.blob.core.windows.net/",
        "https://panoptes-uploads.zooniverse.org/",
    )
    """Beginnings of the URLs of files that Zooniverse names."""
    max_mib: int = 1024
    """Of one export."""
    wait_hours: float = 48.0
    """For an export that Zooniverse is making."""


_KINDS: tuple[Literal["proxy"], Literal["token"]] = ("proxy", "token")


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What the operator has decided."""

    host: str = "127.0.0.1"
    port: int = 8080
    unix_socket: Path | None = None
    """Listen on this socket, which only its owner can connect to, in place of host and port."""
    folder: Path = field(default_factory=Path)
    """Uploads, journals and outputs."""
    db: str = ""
    """The database's URL; empty for SQLite in the folder."""
    public_url: str = ""
    """How clients reach the service, if a proxy is in front of it."""
    id: str = "org.gridcwl.service"
    name: str = "gridcwl"
    description: str = "Runs CWL workflows: each step a job"
    organization: Organization = field(default_factory=Organization)
    contact_url: str = ""
    max_active: int = 8
    """Runs that are worked on at a time."""
    drivers: int | None = None
    """Processes that work on runs, each on ``max_active``; None: the one that answers requests does it, too."""
    takeover_s: float = 15
    """A process that has shown no sign of life for so long loses its runs to others."""
    max_queued: int = 10_000
    max_upload_mib: int = 1024
    """Of one request, with all its attachments."""
    max_files: int = 1000
    """Attachments of one request."""
    max_kept_mib: int = 100
    """Of the outputs and logs of a run that PostgreSQL takes, for machines that share no folder."""
    file_roots: tuple[Path, ...] = ()
    """Folders of this machine below which documents and inputs may be named by ``file://``."""
    catalogue: tuple[str, ...] = ()
    """What is offered as workflows, by their file names: folders of documents, RO-Crates (folders or ``.zip``), commits
    of repositories as ``git+https://HOST/PATH@COMMIT#FOLDER``, and ``gridcwl`` for its own workflows."""
    catalogue_urls: tuple[str, ...] = ()
    """Beginnings of URLs of repositories that may be fetched for it."""
    facilities: tuple[Facility, ...] = ()
    """Groups of the backend's sites; none: DIRAC's grids."""
    esap_gateway: str = ""
    """The URL of an ESAP gateway whose shopping baskets users take inputs from; empty for none."""
    zooniverse: ZooniverseSettings | None = None
    """None: no exports of Zooniverse are fetched."""
    allowed_urls: tuple[str, ...] = ()
    """Beginnings of http(s) and trs URLs that documents and inputs may come from."""
    output_roots: tuple[Path, ...] = ()
    """Folders of this machine below which tasks (GA4GH TES) may have their outputs put by ``file://`` URLs."""
    output_urls: tuple[str, ...] = ()
    """Beginnings of http(s) URLs that tasks may have their outputs sent to, by PUT without credentials."""
    in_place: bool = False
    """Tools may change their inputs in place (InplaceUpdateRequirement)."""
    build_images: bool = False
    """Documents may have images built or loaded (dockerFile, dockerLoad, dockerImport)."""
    network: bool = False
    """Tools may use the network (NetworkAccess)."""
    expressions: Literal["auto", "user"] = "auto"
    """``user``: node, which evaluates JavaScript, runs as nobody or the service does not start; ``auto``: if it can."""
    auth: Authentication | None = None
    credentials: Credentials | None = None
    """None: all runs use the credentials of the user that runs the service."""
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    quotas: Quotas = field(default_factory=Quotas)
    runs: Mapping[str, Any] = field(default_factory=dict)
    """Settings of all runs, as ``gridcwl.Client`` takes them."""

    @property
    def catalogue_folder(self) -> Path:
        """For what is fetched or unpacked of the catalogue's sources."""
        return self.folder / "catalogue"

    @property
    def database_url(self) -> str:
        """The URL of the database."""
        return self.db or f"sqlite:///{self.folder / 'service.db'}"


_NOT_FOR_RUNS = frozenset(
    {
        *("state_dir", "cache_dir", "tmpdir_prefix", "outdir", "basedir", "name", "server", "confinement"),
        *("overrides", "preserve_environment", "preserve_entire_environment"),
    }
)
"""Settings of runs that the service decides itself, or that would hand its environment to jobs."""


_LEAST = {
    **dict.fromkeys(("max_active", "max_queued", "max_upload_mib", "max_files"), 1),
    **dict.fromkeys(("port", "drivers", "max_kept_mib"), 0),
    "takeover_s": 1,
}


def load(file: Path | None, options: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> ServiceSettings:
    """The settings of a file, with the command line's over them.

    Args:
        file: TOML; None for the defaults.
        options: by the names of ``ServiceSettings``; None is for what was not given.
        defaults: in place of those of ``ServiceSettings``.

    Raises:
        ConfigError: a setting does not exist or does not take its value, or the settings are not safe.
    """
    written: dict[str, Any] = {}
    base = Path.cwd()
    if file is not None:
        written, base = _read(file), file.absolute().parent
    known = [entry.name for entry in fields(ServiceSettings)]
    for name in written:
        if name not in known:
            raise ConfigError(
                f"{file}: there is no setting {name!r}",
                remedy=did_you_mean(name, known) or f"Known are: {', '.join(known)}.",
            )
    given = {name: value for name, value in options.items() if value is not None}
    try:
        settings = msgspec.convert({**(defaults or {}), **written, **given}, ServiceSettings, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"The service's settings are wrong: {error}", remedy=f"Correct {file or 'the options'}."
        ) from None
    folder = base / settings.folder if settings.folder != Path() else _default_folder()
    roots = tuple((base / root).resolve() for root in settings.file_roots)
    output_roots = tuple((base / root).resolve() for root in settings.output_roots)
    catalogue = tuple(
        place if place.startswith(catalogue_sources.GIT) else str((base / Path(place).expanduser()).resolve())
        for place in _with_own(settings.catalogue)
    )
    settings = replace(
        settings, folder=folder.absolute(), file_roots=roots, output_roots=output_roots, catalogue=catalogue
    )
    settings = replace(settings, **_absolute(settings, base))
    _check(settings)
    return settings


def _with_own(catalogue: Sequence[str]) -> list[str]:
    """The catalogue with the folder of gridcwl's own workflows for their name; without them if they are not here."""
    own = str(catalogue_sources.OWN_WORKFLOWS)
    named = [own if place == catalogue_sources.OWN else place for place in catalogue]
    return [place for place in named if place != own or Path(own).is_dir()]


def _absolute(settings: ServiceSettings, base: Path) -> dict[str, Any]:
    """Tables whose files count from the configuration's folder."""
    made: dict[str, Any] = {}
    for table, name in (("auth", "client_secret_file"), ("credentials", "key_file")):
        value = getattr(settings, table)
        if value is not None and getattr(value, name) is not None:
            made[table] = msgspec.structs.replace(value, **{name: base / getattr(value, name)})
    return made


def _check(settings: ServiceSettings) -> None:
    if settings.auth is None and not is_loopback(settings.host):
        raise ConfigError(
            f"The service would accept anybody's documents at {settings.host}: it has no authentication",
            remedy="Add [auth] to its configuration, or let it listen on 127.0.0.1.",
        )
    if settings.auth is not None and not settings.auth.issuer.startswith("https://"):
        host = settings.auth.issuer.removeprefix("http://").partition("/")[0].rpartition(":")[0]
        if not is_loopback(host):
            raise ConfigError(
                "auth.issuer is not an https URL", remedy="Tokens are checked with the keys that it serves."
            )
    catalogue_sources.check(settings.catalogue, settings.catalogue_urls)
    _check_quotas(settings.quotas)
    _check_facilities(settings.facilities)
    _check_webhooks(settings.webhooks)
    _check_roles(settings)
    _check_credentials(settings)
    _check_zooniverse(settings.zooniverse)
    for name in settings.runs:
        if name in _NOT_FOR_RUNS:
            raise ConfigError(f"[runs] has {name}, which the service sets itself", remedy="Remove it.")
    if settings.runs.get("engine") == "none":
        raise ConfigError(
            "[runs] has engine = 'none': the service runs no tool without a container", remedy="Remove it."
        )
    for url in settings.allowed_urls:
        if not url.startswith(("https://", "http://", "trs://")) or not url.partition("://")[2].partition("/")[1]:
            raise ConfigError(
                f"allowed_urls has {url!r}, which is not the beginning of a URL up to a '/'",
                remedy="Write it as in https://example.org/workflows/.",
            )
    for name, url in [("output_urls", url) for url in settings.output_urls] + [
        ("catalogue_urls", url) for url in settings.catalogue_urls
    ]:
        if not url.startswith(("https://", "http://")) or not url.partition("://")[2].partition("/")[1]:
            raise ConfigError(
                f"{name} has {url!r}, which is not the beginning of an http(s) URL up to a '/'",
                remedy="Write it as in https://example.org/uploads/.",
            )
    for name, least in _LEAST.items():
        if (value := getattr(settings, name)) is not None and value < least:
            raise ConfigError(f"{name} is {value}, but takes at least {least}")


def _check_quotas(quotas: Quotas) -> None:
    for name in Quotas.__struct_fields__:
        if getattr(quotas, name) < 0:
            raise ConfigError(f"quotas.{name} is {getattr(quotas, name)}, but takes at least 0")


def _check_facilities(facilities: Sequence[Facility]) -> None:
    names = [one.name for one in facilities]
    for name in names:
        if not name or "," in name or not name.isprintable() or names.count(name) > 1:
            raise ConfigError(
                f"facilities has the name {name!r}, which is empty, used twice, or has a comma in it",
                remedy="Give each facility a name of its own.",
            )


def _check_webhooks(webhooks: WebhookSettings) -> None:
    for url in webhooks.urls:
        if not url.startswith(("https://", "http://")) or not url.partition("://")[2].partition("/")[1]:
            raise ConfigError(
                f"webhooks.urls has {url!r}, which is not the beginning of a URL up to a '/'",
                remedy="Write it as in https://hooks.example.org/.",
            )


def _check_roles(settings: ServiceSettings) -> None:
    for role in () if settings.auth is None else settings.auth.roles:
        if not role.scope and not role.group:
            raise ConfigError(
                "A role in [auth] has neither scope nor group, so nobody has it", remedy="Name a scope or a group."
            )
        if not role.may and not role.dirac_group:
            raise ConfigError(
                f"The role of {role.scope or role.group} in [auth] allows nothing",
                remedy='Add may = ["read", "submit"], or remove it.',
            )


def _check_credentials(settings: ServiceSettings) -> None:
    how = settings.credentials
    if how is None:
        return
    if settings.auth is None:
        raise ConfigError("[credentials] has no effect without [auth]: there are no users", remedy="Add [auth].")
    if not how.kinds:
        raise ConfigError(
            "[credentials] does not tell what they are for",
            remedy='Set rucio, dirac or storage, as in dirac = "proxy".',
        )
    if how.exchange is not None and not settings.auth.client_id:
        raise ConfigError(
            "[credentials.exchange] needs auth.client_id: the service as the issuer's client", remedy="Set it."
        )
    if settings.runs.get("backend") == "diracx":
        raise ConfigError("[credentials] is for DIRAC, not for DiracX", remedy="Use backend = 'dirac'.")


def _check_zooniverse(about: ZooniverseSettings | None) -> None:
    for url in (f"{about.endpoint}/", *about.media) if about is not None else ():
        scheme, _, rest = url.partition("://")
        host = rest.partition("/")[0].rpartition(":")[0]
        if not (scheme == "https" and "/" in rest) and not (scheme == "http" and is_loopback(host)):
            raise ConfigError(
                f"[zooniverse] has {url!r}, which is not the beginning of an https URL up to a '/'",
                remedy="Write it as in https://www.zooniverse.org/.",
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        pass
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(str(one).partition("%")[0]).is_loopback for one in found)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"The configuration {file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not readable TOML: {error}", remedy="Write lines of NAME = VALUE.") from None


def _default_folder() -> Path:
    from gridcwl.plugins import configuration

    return configuration().state() / "service"


def _path(_kind: type, value: Any) -> Path:
    if not isinstance(value, str | Path):
        raise msgspec.ValidationError(f"{value!r} is not a path")
    return Path(value).expanduser()
