from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from graftlm.nn import chain
from graftlm.nn.viterbi import bio_rules


def by_hand(scores, path, start, transitions):
    def worth(one):
        steps = sum(transitions[a, b] for a, b in itertools.pairwise(one))
        return start[one[0]] + scores[np.arange(len(one)), list(one)].sum() + steps

    every = [worth(one) for one in itertools.product(range(scores.shape[1]), repeat=len(scores))]
    return worth(path) - np.logaddexp.reduce(every)


def test_the_likelihood_is_that_of_all_paths_written_out():
    rng = np.random.default_rng(0)
    start, transitions = rng.normal(size=3), rng.normal(size=(3, 3))
    scores, paths, sizes = rng.normal(size=(4, 5, 3)), rng.integers(0, 3, (4, 5)), [5, 1, 3, 4]
    found = chain.log_likelihood(*map(torch.as_tensor, (scores, paths, np.array(sizes), start, transitions)))
    wanted = [by_hand(scores[n, :size], paths[n, :size].tolist(), start, transitions) for n, size in enumerate(sizes)]
    assert np.allclose(found.numpy(), wanted)


def test_what_is_fitted_expects_as_many_transitions_as_there_are():
    rng = np.random.default_rng(1)
    logits = [rng.normal(size=(4, 3)) for _ in range(80)]
    paths = [np.array([0, 1, 2, 0]) if rng.random() < 0.5 else rng.integers(0, 3, 4) for _ in range(80)]
    found = chain.fit(logits, paths, np.zeros(3), np.zeros((3, 3)), strength=1e-6, steps=200)
    expected, seen = np.zeros((3, 3)), np.zeros((3, 3))
    every = list(itertools.product(range(3), repeat=4))
    for scores, path in zip(logits, paths, strict=True):
        told = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        worth = np.array(
            [
                found.start[one[0]]
                + (found.scale * told)[range(4), one].sum()
                + sum(found.transitions[step] for step in itertools.pairwise(one))
                for one in every
            ]
        )
        chances = np.exp(worth - np.logaddexp.reduce(worth))
        for one, chance in zip(every, chances, strict=True):
            for step in itertools.pairwise(one):
                expected[step] += chance
        for step in itertools.pairwise(path.tolist()):
            seen[step] += 1
    assert np.allclose(expected, seen, rtol=0.02, atol=0.5)


def test_what_is_forbidden_stays_so_and_nothing_is_learnt_from_nothing():
    start, transitions = bio_rules(5)
    found = chain.fit([np.zeros((3, 5))] * 20, [np.array([1, 2, 0])] * 20, start, transitions)
    assert np.array_equal(np.isfinite(found.start), np.isfinite(start))
    assert np.array_equal(np.isfinite(found.transitions), np.isfinite(transitions))
    assert found.start[1] > found.start[0]
    nothing = chain.fit([], [], start, transitions)
    assert np.array_equal(nothing.transitions, transitions)
    assert nothing.scale == 1


def test_strength_pulls_to_the_given_logits():
    logits, paths = [np.zeros((2, 2))] * 50, [np.array([0, 1])] * 50
    loose, firm = (chain.fit(logits, paths, np.zeros(2), np.zeros((2, 2)), strength=s) for s in (0.1, 100.0))
    assert loose.transitions[0, 1] > 3 * firm.transitions[0, 1] > 0
    assert firm.scale == pytest.approx(1, abs=0.05)
