"""Final outputs: put into datasets of their own and kept by rules; Directories become datasets."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gridcwl.model.chunks import chunks
from gridcwl.model.objects import entries, outermost
from gridcwl.stores.rucio.client import CHUNK, RucioProblem
from gridcwl.stores.rucio.names import Did, chosen_dataset, did_of
from gridcwl.stores.rucio.rules import add_rule
from gridcwl.stores.rucio.run_files import URL, RunFiles
from gridcwl.stores.rucio.trees import tree_of, written

log = logging.getLogger("gridcwl.stores.rucio")

CwlObject = dict[str, Any]


@dataclass(slots=True)
class OutputDatasets:
    """The datasets that the outputs of one run go to."""

    run_files: RunFiles
    contents: dict[Did, dict[Did, None]] = field(default_factory=dict)
    """Each dataset's files."""
    elements: dict[Did, str] = field(default_factory=dict)
    """By dataset: where the document wants it."""

    async def keep(self, outputs: CwlObject) -> None:
        """Make the datasets, and the rules that keep them. May be done again.

        Args:
            outputs: the output object, Directories with their listings. Literal Directories of files in Rucio get the
                location of the dataset that they become, in place.

        Raises:
            RucioProblem: Rucio does not answer, or a rule cannot be made.
        """
        for name, value in outputs.items():
            for number, entry in enumerate(outermost(value)):
                self._sort_in(entry, name, number)
        if not self.contents:
            return
        await self._attach()
        await self._make_rules()

    def _sort_in(self, entry: CwlObject, output: str, number: int) -> None:
        urls = [str(file.get("location", "")) for file in entries(entry, "File")]
        files = [did_of(url) for url in urls if url.startswith(URL)]
        if entry["class"] == "Directory":
            self._keep_directory(entry, output, number, files)
        if files:
            settings, naming = self.run_files.settings, self.run_files.naming
            chosen, path = settings.output_dataset, settings.output_paths.get(output, "")
            if chosen:
                dataset = chosen_dataset(chosen)
            else:
                dataset = naming.folder(path) if path else naming.dataset("outputs", output)
            if not chosen and not path:  # those are of several runs
                self.run_files.descriptions.output(dataset, output)
            if output in settings.output_elements and not settings.rse_expression:
                self.elements[dataset] = settings.output_elements[output]
            self._put(dataset, files)

    def _keep_directory(self, entry: CwlObject, output: str, number: int, files: Sequence[Did]) -> None:
        """A Directory is a dataset; one of another scope is somebody's input that was passed through."""
        if str(entry.get("location", "_:")).startswith("_:"):
            entry["location"] = self.run_files.naming.dataset(f"outputs/{output}", f"{number}-{entry['basename']}").url
        if not str(entry["location"]).startswith(URL):
            return
        did = did_of(entry["location"])
        if did.scope == self.run_files.naming.scope:
            self.run_files.descriptions.directory(did, written(tree_of(entry), did))
            self._put(did, files)

    def _put(self, dataset: Did, files: Iterable[Did]) -> None:
        self.contents.setdefault(dataset, {}).update(dict.fromkeys(files))

    async def _attach(self) -> None:
        registrar = self.run_files.registrar
        await registrar.make(self.contents)
        pairs = [(dataset, file) for dataset, files in self.contents.items() for file in files]
        for part in chunks(pairs, CHUNK):
            grouped: dict[Did, list[dict[str, str]]] = {}
            for dataset, file in part:
                grouped.setdefault(dataset, []).append({"scope": file.scope, "name": file.name})
            attachments = [{"scope": did.scope, "name": did.name, "dids": dids} for did, dids in grouped.items()]
            attachments += registrar.holding(grouped)
            await self.run_files.client.call("attach_dids_to_dids", attachments, ignore_duplicate=True)
        empty = list(registrar.holding(did for did, files in self.contents.items() if not files))
        if empty:
            await self.run_files.client.call("attach_dids_to_dids", empty, ignore_duplicate=True)

    async def _make_rules(self) -> None:
        settings = self.run_files.settings
        usual = settings.rse_expression or "|".join(sorted(self.run_files.rule.elements))
        for dataset in self.contents:
            expression = self.elements.get(dataset, usual)
            grouping = "DATASET" if expression != usual or settings.rse_expression else "NONE"
            try:
                await add_rule(
                    self.run_files.client,
                    dataset,
                    expression,
                    settings.copies,
                    settings.lifetime_days,
                    grouping=grouping,
                )
            except RucioProblem as problem:
                problem.message = f"The outputs {dataset} cannot be kept on {expression}: {problem.message}"
                raise
