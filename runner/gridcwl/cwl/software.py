"""SoftwareRequirement: packages that the configuration maps to an image, or to environment modules of the machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gridcwl.cwl.no_javascript import processes
from gridcwl.cwl.sources import place
from gridcwl.errors import UnsupportedError

if TYPE_CHECKING:
    from cwltool.process import Process

_NAME = "SoftwareRequirement"
_IMAGE = "DockerRequirement"
_LOAD = """\
if ! command -v module > /dev/null; then
  for init in "${MODULESHOME:+$MODULESHOME/init/bash}" /etc/profile.d/modules.sh /etc/profile.d/lmod.sh \\
      /usr/share/lmod/lmod/init/bash /usr/share/modules/init/bash; do
    if [ -n "$init" ] && [ -f "$init" ]; then . "$init" && break; fi
  done
fi
if ! command -v module > /dev/null; then echo "This machine has no environment modules (module load)." >&2; exit 127; fi
count=$1; shift
while [ "$count" -gt 0 ]; do
  module load "$1" || { echo "The environment module $1 cannot be loaded." >&2; exit 127; }
  shift; count=$((count - 1))
done
exec "$@"
"""


class Software(NamedTuple):
    """Where the configuration finds a package."""

    package: str
    """Its name, or NAME/VERSION for this version only, or one of its specs."""
    image: str = ""
    modules: tuple[str, ...] = ()


def image_for(tool: Any, known: Sequence[Software]) -> str | None:
    """The image that has all packages that the tool names; None if missing."""
    images = {entry.image if entry else "" for _, entry in _packages(tool, known)}
    return images.pop() or None if len(images) == 1 else None


def with_modules(command: tuple[str, ...], tool: Any, known: Sequence[Software]) -> tuple[str, ...]:
    """The command of a tool that runs without a container, behind the modules that its packages are mapped to."""
    modules = [name for _, entry in _packages(tool, known) if entry for name in entry.modules]
    if not modules:
        return command
    return ("bash", "-c", _LOAD, "gridcwl-modules", str(len(modules)), *dict.fromkeys(modules), *command)


def check_software(document: Process, known: Sequence[Software], *, containers: bool, default_image: bool) -> None:
    """See that all software that a document requires is in the tool's image, or mapped.

    Raises:
        UnsupportedError: a package is not; all of them are named.
    """
    for part in processes(document):
        requirement, required = part.get_requirement(_NAME)
        if not required or requirement is None or part.tool.get("class") != "CommandLineTool":
            continue
        if containers and (default_image or part.get_requirement(_IMAGE)[0] is not None):
            continue
        found = list(_packages(part, known))
        lacking = [
            name for name, entry in found if entry is None or not (entry.modules or (containers and entry.image))
        ]
        at = place(requirement, "class")
        if lacking:
            raise UnsupportedError(
                f"{at} the tool requires the software {', '.join(lacking)}, and gridcwl installs none".lstrip(),
                remedy=_remedy(lacking[0].split()[0], containers=containers),
            )
        images = {entry.image for _, entry in found if entry and not entry.modules}
        if len(images) > 1:
            raise UnsupportedError(
                f"{at} the software that the tool requires is in several images: {', '.join(sorted(images))}".lstrip(),
                remedy="Map all of its packages to one image, or name that in a DockerRequirement.",
            )


def _remedy(package: str, *, containers: bool) -> str:
    what = "Name an image that has it in a DockerRequirement, or map" if containers else "Map"
    value = 'image = "IMAGE"' if containers else 'modules = ["MODULE"]'
    return f'{what} it in the configuration: [software] "{package}" = {{ {value} }}.'


def _packages(tool: Any, known: Sequence[Software]) -> Iterator[tuple[str, Software | None]]:
    """The packages that a tool names, for people, and where each is."""
    requirement, _ = tool.get_requirement(_NAME)
    entries = {entry.package: entry for entry in known}
    for package in (requirement or {}).get("packages") or ():
        name = str(package["package"]).rpartition("#")[2]
        versions = [str(one) for one in package.get("version") or ()]
        specs = [str(one) for one in package.get("specs") or ()]
        yield f"{name} {' or '.join(versions)}".strip(), _entry(entries, name, versions, specs)


def _entry(
    entries: Mapping[str, Software], name: str, versions: Sequence[str], specs: Sequence[str]
) -> Software | None:
    keys = (*(f"{name}/{version}" for version in versions), name, *specs)
    return next((entries[key] for key in keys if key in entries), None)
