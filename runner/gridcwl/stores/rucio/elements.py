"""Storage elements: which of them jobs can leave outputs on, how they are reached, and which sites they belong to."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gridcwl import imports
from gridcwl.errors import ConfigError
from gridcwl.model import StorageElement
from gridcwl.stores.local import path_of
from gridcwl.stores.rucio.client import RucioClient
from gridcwl.stores.rucio.settings import RucioSettings
from gridcwl.worker.naming import place_of
from gridcwl.worker.storage import WAYS

log = logging.getLogger("gridcwl.stores.rucio")

NamingName = Literal["hash", "identity", "name"]
_NAMINGS: Mapping[str, NamingName] = {"hash": "hash", "def": "hash", "identity": "identity", "ctao_bdms": "name"}
_PROBES = (("user.alice", "/ctao.org/a.b/c-1.txt"), ("test", "x.y.j1-2-3.z"))
_FILE = re.compile(r"file://(?:localhost)?(?::\d+)?(?=/)")


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements that outputs go to, the preferred ones first."""

    usable: tuple[StorageElement, ...]

    def named(self, name: str) -> StorageElement | None:
        """The element of that name."""
        return next((element for element in self.usable if element.name == name), None)

    def sources(self, element: str, scope: str, name: str) -> tuple[str, ...]:
        """The URLs of a file that lies on this element; none if it is not one of these."""
        found = self.named(element)
        if found is None:
            return ()
        return tuple(prefix + place_of(scope, name, found.naming) for prefix in found.urls)


async def find_elements(client: RucioClient, settings: RucioSettings) -> Elements:
    """Ask Rucio for them.

    Raises:
        ConfigError: none can be used; saying why for each.
        RucioProblem: Rucio does not answer.
    """
    names = await _candidates(client, settings.elements)
    usable, refused = [], []
    for name in names:
        about = await client.call("get_rse", name)
        attributes = await client.call("list_rse_attributes", name)
        element = _element(about, attributes, settings)
        if isinstance(element, str):
            refused.append(f"{name}: {element}")
        else:
            usable.append(element)
    if not usable:
        raise ConfigError(
            "No storage element can take outputs: " + ("; ".join(refused) or "the account has no quota on any"),
            remedy="Choose others with --rucio-rse, or ask for a quota.",
        )
    for reason in refused:
        log.info("not used for outputs: %s", reason)
    return Elements(tuple(sorted(usable, key=lambda element: _distance(element, settings.site))))


def _distance(element: StorageElement, site: str) -> int:
    """How near an element is to this machine: at its site, mounted here, or elsewhere."""
    if site and site in element.sites:
        return 0
    return 1 if any(url.startswith("file://") and path_of(url).is_dir() for url in element.urls) else 2


async def _candidates(client: RucioClient, expression: str) -> list[str]:
    if expression:
        return sorted(str(found["rse"]) for found in await client.call("list_rses", expression))
    limits: Mapping[str, float] = await client.call("get_local_account_limits", await client.account())
    return sorted(name for name, limit in limits.items() if limit > 0)


def _element(about: Mapping[str, Any], attributes: Mapping[str, Any], settings: RucioSettings) -> StorageElement | str:
    """The element, or why it cannot be used."""
    name = str(about["rse"])
    if not about.get("availability_write", True):
        return "it may not be written to now"
    if not about.get("deterministic", True):
        return "the paths of its files are not derived from their names"
    if about.get("rse_type") == "TAPE" or about.get("staging_area"):
        return "it is a tape, or for staging"
    urls = _prefixes(about.get("protocols", ()))
    if not urls:
        schemes = sorted({str(protocol["scheme"]) for protocol in about.get("protocols", ())})
        return f"workers reach none of its protocols ({', '.join(schemes) or 'it has none'})"
    naming = naming_of(about, attributes)
    if naming is None:
        return f"workers do not support its algorithm for paths, {about.get('lfn2pfn_algorithm')}"
    return StorageElement(name, urls, _sites(name, attributes, settings.sites), naming)


def _prefixes(protocols: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Those that can be written to: mounted ones first, then by Rucio's own order."""
    ranked = []
    for protocol in protocols:
        scheme = str(protocol["scheme"])
        ranks = [domain.get("write") or 0 for domain in protocol.get("domains", {}).values()]
        rank = min((rank for rank in ranks if rank), default=0)
        if scheme in WAYS and rank:
            ranked.append((scheme != "file", rank, prefix_of(protocol)))
    return tuple(dict.fromkeys(prefix for _, _, prefix in sorted(ranked)))


def prefix_of(protocol: Mapping[str, Any]) -> str:
    """The URL below which a protocol's files lie; ends with ``/``."""
    path = "/" + str(protocol["prefix"]).strip("/")
    path = path if path.endswith("/") else path + "/"
    if protocol["scheme"] == "file":
        return f"file://{path}"
    service = str((protocol.get("extended_attributes") or {}).get("web_service_path") or "")
    slash = "/" if protocol["scheme"] in ("root", "roots", "xroot") else ""
    return f"{protocol['scheme']}://{protocol['hostname']}:{protocol['port']}{slash}{service}{path}"


def plain(pfn: str) -> str:
    """Rucio's URL of a replica as workers take it: a file's without the host that Rucio puts there."""
    return _FILE.sub("file://", pfn)


def naming_of(about: Mapping[str, Any], attributes: Mapping[str, Any]) -> NamingName | None:
    """Which of the namings that workers know gives the places that the element's own algorithm gives."""
    algorithm = str(about.get("lfn2pfn_algorithm") or "hash")
    if algorithm in _NAMINGS:
        return _NAMINGS[algorithm]
    try:
        imports.load("rucio.rse")
        from rucio.rse.translation import RSEDeterministicTranslation

        translation = RSEDeterministicTranslation(
            str(about["rse"]), {**attributes, "lfn2pfn_algorithm": algorithm}, (about["protocols"] or [{}])[0]
        )
        places = [str(translation.path(scope, name)).lstrip("/") for scope, name in _PROBES]
    except Exception:  # noqa: BLE001  a policy package's own code, or none: then it is not known
        return None
    naming: NamingName
    for naming in ("hash", "identity", "name"):
        if places == [place_of(scope, name, naming).lstrip("/") for scope, name in _PROBES]:
            return naming
    return None


def _sites(name: str, attributes: Mapping[str, Any], configured: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    written = str(attributes.get("site") or "")
    sites = [site.strip() for site in written.split(",") if site.strip()]
    return tuple(dict.fromkeys([*sites, *(site for site, names in configured.items() if name in names)]))
