"""Mixup against the mixture written out with `inputs_embeds` and with the head alone."""

from __future__ import annotations

import pytest
import torch

from graftlm.core import registry


def drawn(loss, look):
    """Return the order and the share that the loss draws, and what it gives."""
    torch.manual_seed(5)
    order = torch.randperm(len(look.batch))
    share = float(torch.distributions.Beta(loss.a, loss.a).sample())
    torch.manual_seed(5)
    return order, share, loss(look)


def expected(logits, targets, order, share):
    told = logits.log_softmax(1)
    rows = torch.arange(len(targets))
    return -(share * told[rows, targets] + (1 - share) * told[rows, targets[order]]).mean()


@pytest.mark.parametrize("backbone", ["tiny", {"use": "tiny", "pooling": "native"}])
def test_sentences_are_mixed_ahead_of_the_head(ground, look_at, backbone):
    made = ground(backbone)
    loss = registry.make("loss", {"use": "mixup", "a": 1.0})
    look = look_at(made, None)
    order, share, found = drawn(loss, look)
    module, caught = made.model.module, []
    head = module.get_submodule(made.model.head)
    hook = head.register_forward_hook(lambda _head, args, _out: caught.append(args[0]))
    module(**look.batch.inputs)
    hook.remove()
    logits = head(share * caught[0] + (1 - share) * caught[0][order])
    torch.testing.assert_close(found, expected(logits, look.batch.targets, order, share), atol=1e-6, rtol=1e-5)


def test_words_are_mixed_as_embeddings_and_the_longer_text_is_read_whole(ground, look_at):
    made = ground()
    loss = registry.make("loss", {"use": "mixup", "where": "words", "a": 1.0})
    look = look_at(made, None)
    order, share, found = drawn(loss, look)
    encoder, mask = made.model.module.encoder, look.batch.inputs["attention_mask"]
    words = encoder.embeddings.word_embeddings(look.batch.inputs["input_ids"])
    both = torch.maximum(mask, mask[order])
    states = encoder(inputs_embeds=share * words + (1 - share) * words[order], attention_mask=both).last_hidden_state
    pooled = (states * both[..., None]).sum(1) / both.sum(1, keepdim=True)
    logits = made.model.module.head(pooled)
    torch.testing.assert_close(found, expected(logits, look.batch.targets, order, share), atol=1e-5, rtol=1e-4)


GPT2 = {"use": "scratch", "architecture": "gpt2", "layers": 1, "width": 32, "heads": 2}


def test_a_decoder_mixes_the_states_that_it_answers_from(ground, look_at):
    """Of two texts of other lengths these stand at other places: the last token of each."""
    made = ground(GPT2)
    loss = registry.make("loss", {"use": "mixup", "a": 1.0})
    assert loss.refuses(made.model, made.task) is None
    look = look_at(made, None)
    order, share, found = drawn(loss, look)
    module, mask = made.model.module, look.batch.inputs["attention_mask"]
    assert len(set(mask.sum(1).tolist())) > 1
    states = module.get_submodule(made.model.base)(**look.batch.inputs).last_hidden_state
    last = states[torch.arange(len(mask)), mask.sum(1) - 1]
    logits = module.get_submodule(made.model.head)(share * last + (1 - share) * last[order])
    torch.testing.assert_close(found, expected(logits, look.batch.targets, order, share), atol=1e-5, rtol=1e-4)
    words = registry.make("loss", {"use": "mixup", "where": "words"})
    assert "last token" in words.refuses(made.model, made.task)
