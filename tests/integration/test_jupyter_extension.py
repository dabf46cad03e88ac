"""Rucio's extension of JupyterLab finds what a run has published, and attaches it to a notebook.

Its own classes, in an environment of their own: ``make test-jupyter`` installs it and runs this.
"""

from __future__ import annotations

import configparser
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
from commandline import gridcwl
from documents import Desk, glob, on_command_line, shell, step, workflow

if TYPE_CHECKING:
    from gridcwl.testbed.rucio.service import RucioService

PYTHON = os.environ.get("GRIDCWL_JUPYTER_PYTHON", "")
ATTACH = Path(__file__).parents[1] / "helpers" / "jupyter_attach.py"

pytestmark = [
    pytest.mark.rucio,
    pytest.mark.skipif(not PYTHON, reason="make test-jupyter installs the extension and runs this"),
]

DOCUMENT = workflow(
    {"words": "string[]"}, {"result": {"type": "File[]", "outputSource": "say/said"}},
    say=step(shell('printf "$0" > "größe $0.txt"', inputs={"word": on_command_line("string")},
                   outputs={"said": glob("*.txt")}), "said", scatter="word", word="words"),
)  # fmt: skip


def configured(rucio: RucioService, account: str) -> dict[str, Any]:
    """The extension's configuration for the testbed."""
    config = configparser.ConfigParser()
    config.read(rucio.clients.configuration(account))
    instance = {
        "name": "testbed", "rucio_base_url": rucio.url, "rucio_auth_url": rucio.url,
        "rucio_ca_cert": str(rucio.clients.ca), "mode": "replica", "destination_rse": "LYON-DISK",
        "rse_mount_path": "/", "path_begins_at": 0,
    }  # fmt: skip
    auth = {name: config["client"][name] for name in ("username", "password", "account")}
    return {"instance": instance, "auth": auth}


def test_a_dataset_a_file_and_the_outputs_of_a_run_are_found_attached_and_inputs_again(
    desk: Desk, rucio: RucioService, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rucio.common.config import clean_cached_config

    for name, value in rucio.clients.exports("runner").items():
        monkeypatch.setenv(name, value)
    clean_cached_config()
    path, given = desk.write("doc.cwl", DOCUMENT), desk.write("in.json", {"words": ["a", "b"]})
    options = ("--quiet", "--no-container", "--store", "rucio", "--rucio-rse", "LYON-DISK", "--no-download")
    result = gridcwl(*options, path, given)
    assert result.code == 0, result.stderr
    shown = json.loads(gridcwl("data", "last", "--json").stdout)
    (dataset,) = [one for one in shown["datasets"] if one["output"]]
    scope, name = dataset["did"].split(":")
    files = sorted(one["did"] for one in dataset["files"])

    outputs = json.loads(result.stdout)
    asked = configured(rucio, "alice") | {"scope": scope, "dataset": name, "file": files[0].split(":")[1]}
    asked["outputs"] = outputs
    home = desk.folder / "home"
    home.mkdir()
    ended = subprocess.run(
        [PYTHON, ATTACH], input=json.dumps(asked), env={**os.environ, "HOME": str(home)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert [one["did"] for one in found["search"]] == [dataset["did"]]
    assert sorted(one["did"] for one in found["files"]) == files
    assert found["states"] == ["OK", "OK"]
    assert sorted(found["read"]) == ["a", "b"]
    assert found["single"] in ("a", "b")
    # attached DIDs are inputs, by the paths that the extension gives
    locations = [file["location"] for file in found["inputs"]["many"]]
    assert sorted(Path(unquote(urlsplit(one).path)).read_text() for one in locations) == ["a", "b"]
    assert found["inputs"]["one"]["class"] == "File"
    # outputs are attached by their DIDs, and read through the extension
    assert sorted(note["did"] for note in found["notes"]) == files
    assert [note["variableName"] for note in found["notes"]] == ["result", "result_1"]
    assert sorted(found["attached"]) == ["a", "b"]
    # and are of its own classes, which are inputs again, although their files are not on this machine
    assert found["published"] == "MultipleItemDID"
    assert [file["location"] for file in found["given again"]["many"]] == [one["location"] for one in outputs["result"]]
