from __future__ import annotations

import itertools

import numpy as np

from graftlm.nn.viterbi import allowed, best_path, bio_path, bio_rules


def test_the_path_is_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(50):
        logits, transitions, start = rng.normal(size=(5, 3)), rng.normal(size=(3, 3)), rng.normal(size=3)
        transitions[rng.random((3, 3)) < 0.2] = -np.inf

        def worth(path, logits=logits, transitions=transitions, start=start):
            steps = sum(transitions[a, b] for a, b in itertools.pairwise(path))
            return start[path[0]] + logits[np.arange(5), list(path)].sum() + steps

        best = max(itertools.product(range(3), repeat=5), key=worth)
        found = best_path(logits, transitions, start)
        assert np.isclose(worth(found), worth(best)) or worth(best) == -np.inf


def test_bio_forbids_an_inner_tag_that_continues_nothing():
    start, transitions = bio_rules(5)  # O, B-x, I-x, B-y, I-y
    assert np.isfinite(start).tolist() == [True, True, False, True, False]
    for before, after in itertools.product(range(5), repeat=2):
        assert np.isfinite(transitions[before, after]) == (after not in (2, 4) or before in (after, after - 1))
    assert allowed(np.array([1, 2, 2, 0, 3]), transitions, start)
    assert not allowed(np.array([2]), transitions, start)
    assert not allowed(np.array([1, 4]), transitions, start)
    assert allowed(np.zeros(0, int), transitions, start)
    assert bio_path(np.zeros((0, 5))).tolist() == []
    assert bio_path(np.eye(5)[[0, 2, 2]] * 9).tolist() == [0, 1, 2]
