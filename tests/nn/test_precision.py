"""Number formats are looked up in what the system tells, and copies leave their source alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from graftlm.nn import precision


def _cpuinfo(folder: Path, line: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(f"processor\t: 0\n{line}\nbugs\t: none\n")
    return path


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 fma", "avx512_bf16"),
        ("flags\t\t: avx512_bf16 amx_bf16", "amx_bf16"),
        ("flags\t\t: fpu avx2 avx512f", None),
        ("Features\t: fp asimd", None),
        ("flags\t\t: avx512_bf16x", None),
    ],
)
def test_the_flags_decide(tmp_path: Path, line: str, found: str | None) -> None:
    assert precision.cpu_has_bf16(_cpuinfo(tmp_path, line)) == found


def test_without_cpuinfo_torch_is_asked(tmp_path: Path, monkeypatch) -> None:
    for known in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda known=known: known)
        assert precision.cpu_has_bf16(tmp_path / "none") == ("avx512_bf16" if known else None)


def test_choice_and_reason(monkeypatch) -> None:
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: "avx512_bf16")
    assert precision.choose("auto", "cpu") == (torch.bfloat16, "bf16, since the cpu has avx512_bf16")
    assert precision.choose("fp32", "cpu") == (torch.float32, "fp32, as asked for")
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: None)
    assert precision.choose("auto", "cpu") == (torch.float32, "fp32, since this cpu has no bf16 arithmetic")
    assert precision.choose("auto", "mps")[0] is torch.float32
    dtype, reason = precision.choose("bf16", "cpu")
    assert dtype is torch.bfloat16
    assert "emulates" in reason


def test_a_copy_leaves_its_source_alone() -> None:
    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4)
            self.tied = self.inner
            self.head = nn.Linear(4, 2)
            self.register_buffer("saved", torch.ones(2))
            self.register_buffer("frequencies", torch.ones(2), persistent=False)
            self.register_buffer("numbers", torch.arange(2))

        def forward(self, x):
            return self.head(self.tied(x))

    module = Body().train()
    module(torch.ones(1, 4)).sum().backward()
    kept = {name: value.clone() for name, value in module.state_dict().items()}
    twin = precision.converted(module, torch.bfloat16, "head", torch.device("cpu"))
    assert not twin.training
    assert module.training
    assert twin.tied is twin.inner
    assert twin.inner.weight.dtype == twin.saved.dtype == torch.bfloat16
    assert twin.head.weight.dtype == twin.frequencies.dtype == torch.float32
    assert twin.numbers.dtype == torch.int64
    assert twin.inner.weight.grad is None
    assert module.inner.weight.grad is not None
    out = twin(torch.ones(1, 4, dtype=torch.bfloat16))
    assert out.dtype == torch.float32
    with torch.no_grad():
        twin.head.weight.zero_()
    for name, value in module.state_dict().items():
        assert torch.equal(value, kept[name])
    assert not module.head._forward_pre_hooks
    assert precision.dtype_of(twin) == torch.bfloat16


def test_a_device_that_is_not_there_is_told(monkeypatch):
    import pytest
    import torch

    from graftlm.core.errors import UserError
    from graftlm.nn.precision import device_for

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"'cuda' was asked for.*--device cpu"):
        device_for("cuda")
