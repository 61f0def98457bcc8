"""A folder with a plain Transformers or Sentence Transformers checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from graftlm.contracts.backbone import Backbone, Base
from graftlm.contracts.pretrained import from_folder
from graftlm.core.errors import UserError, listing


class Local(Backbone):
    """Opens a folder that holds config.json, safetensors weights and a tokenizer."""

    source: ClassVar[str] = "project"
    path: str
    """The folder."""

    def open(self) -> Base:
        """Open the folder.

        Raises:
            UserError: there is no such folder, or no checkpoint in it.
        """
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            raise UserError(f"The base model's folder '{self.path}' does not exist.")
        if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
            raise UserError(
                f"'{self.path}' holds an adapter, not a whole model, and a run cannot start from it. Train it with "
                "merge: true (--set methods.0.merge=true) to fold it into its base."
            )
        if not (folder / "config.json").is_file():
            held = listing(sorted(f.name for f in folder.iterdir())) or "nothing"
            raise UserError(
                f"'{self.path}' is no model: expected config.json, model.safetensors and a tokenizer; it holds {held}."
            )
        return from_folder(folder, name=folder.resolve().name, limit=self.max_length)

    @classmethod
    def claims(cls, name: str) -> float:
        """Claim what is a folder, or looks like a path."""
        if Path(name).expanduser().is_dir():
            return 0.9
        return 0.8 if name.startswith((".", "/", "~")) else 0.0

    @classmethod
    def named(cls, name: str) -> dict[str, Any]:
        """Return the fields for `--base NAME`."""
        return {"path": name}
