"""A model of the Hugging Face Hub, by name; a cached copy works offline."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from graftlm.contracts.backbone import Backbone, Base
from graftlm.contracts.pretrained import from_folder
from graftlm.core import registry
from graftlm.core.errors import UserError, near

PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "*.spm", "1_Pooling/*", "README.md"]
SECONDS = 4.0


class Hub(Backbone):
    """Downloads a checkpoint once (safetensors and JSON only, never code or pickles) and opens the copy."""

    source: ClassVar[str] = "project"
    model: str
    """Name on the Hub, such as answerdotai/ModernBERT-base."""
    revision: str | None = None
    """Branch, tag or commit; None: the main branch."""
    seconds: float = Field(SECONDS, gt=0, le=600)
    """How long to wait for the Hub's first answer."""

    def open(self) -> Base:
        """Open the cached copy, or download it.

        Raises:
            UserError: no such model, no access, or no network and no cached copy.
        """
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        wanted: dict[str, Any] = {"repo_id": self.model, "revision": self.revision, "allow_patterns": PATTERNS}
        try:
            folder = Path(snapshot_download(**wanted, local_files_only=True))
        except (LocalEntryNotFoundError, FileNotFoundError, ValueError):
            folder = None
        if folder is None or not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
            folder = self._fetch(wanted)
        return from_folder(folder, name=self.model, hub_id=self.model, revision=folder.name, limit=self.max_length)

    def _fetch(self, wanted: dict[str, Any]) -> Path:
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

        ways = (
            "Ways out: check the spelling; name a folder with --base FOLDER; use an embedded model "
            "(graft list backbone); or fetch it elsewhere with `hf download` and copy the folder here."
        )
        ways = f"{near(self.model, registry.names('backbone'))} {ways}".lstrip()
        if os.environ.get("HF_HUB_OFFLINE") in ("1", "ON", "YES", "TRUE"):
            raise UserError(f"The model '{self.model}' is not in the local cache, and HF_HUB_OFFLINE is set. {ways}")
        try:
            _within(self.seconds, lambda: HfApi().model_info(self.model, revision=self.revision, timeout=self.seconds))
            return Path(snapshot_download(**wanted))
        except HFValidationError as fault:
            raise UserError(f"'{self.model}' cannot be the name of a model ({_short(fault)}). {ways}") from None
        except GatedRepoError:
            raise UserError(f"The model '{self.model}' asks for a login: run `hf auth login`. {ways}") from None
        except RepositoryNotFoundError:
            raise UserError(f"There is no model '{self.model}' on the Hub, or it is private. {ways}") from None
        except (HfHubHTTPError, OSError, ValueError) as fault:
            raise UserError(f"The Hub did not answer for '{self.model}' ({_short(fault)}). {ways}") from None
        except Exception as fault:  # the HTTP client's own errors do not share a base with OSError
            if type(fault).__module__.partition(".")[0] not in ("httpx", "httpx2", "httpcore", "httpcore2", "requests"):
                raise
            raise UserError(f"The Hub cannot be reached for '{self.model}' ({_short(fault)}). {ways}") from None

    @classmethod
    def claims(cls, name: str) -> float:
        """Claim names of the form owner/model, or a bare word that nothing else claims."""
        return 0.5 if name.count("/") == 1 else 0.1

    @classmethod
    def named(cls, name: str) -> dict[str, Any]:
        """Return the fields for `--base NAME`."""
        return {"model": name}

    @classmethod
    def published(cls, name: str, revision: str) -> dict[str, Any] | None:
        """Return the fields that open one commit."""
        return {"model": name, "revision": revision}


def _within(seconds: float, call: Callable[[], Any]) -> None:
    """Make a call and wait no longer than so many seconds: a name server that is silent knows no time limit."""
    caught: list[BaseException] = []

    def work() -> None:
        try:
            call()
        except BaseException as fault:
            caught.append(fault)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} s")
    if caught:
        raise caught[0]


def _short(fault: BaseException) -> str:
    return f"{type(fault).__name__}: {' '.join(str(fault).split())[:200]}"
