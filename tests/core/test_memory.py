from graftlm.core import memory


def test_the_peak_grows_with_what_is_touched_and_never_falls():
    before = memory.peak_bytes()
    block = bytearray(300 * 1024 * 1024)
    block[::4096] = b"\x01" * len(block[::4096])
    after = memory.peak_bytes()
    del block
    assert after >= before
    assert after > 250 * 1024 * 1024
    assert memory.peak_bytes() >= after
