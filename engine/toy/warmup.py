"""The short supervised phase that teaches a toy model the form of the answer, but not yet the answer."""

from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from engine.toy.recipe import Recipe, toy_config
from engine.toy.tasks import Task, instances, rows


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """A Qwen2 decoder with random weights from the global generator, tied embeddings, float32, on the CPU."""
    model = Qwen2ForCausalLM(
        Qwen2Config(
            **toy_config(recipe),
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            dtype="float32",
        )
    )
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def warm_up(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    task: Task,
    recipe: Recipe,
    progress: Callable[[str], None],
) -> int:
    """Train on fresh examples of the training side until sampled accuracy reaches `stop_accuracy`.

    Accuracy is watched on training-side prompts, so the held-out ones play no part at all.
    Returns the number of optimizer steps. Draws from the global generator.
    """
    fresh = instances("train", f"{task.name}/warm-up/{recipe.seed}")
    watched = [task.row(i) for i in islice(instances("train", f"{task.name}/watch"), recipe.measure_prompts)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.0)
    for step in range(1, recipe.max_steps + 1):
        optimizer.param_groups[0]["lr"] = recipe.learning_rate * min(1.0, step / recipe.ramp_steps)
        batch = [task.row(instance) for instance in islice(fresh, recipe.batch_size)]
        loss = _answer_loss(model, tokenizer, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % recipe.measure_every == 0:
            reached = accuracy(model, tokenizer, watched, sample=True)
            progress(f"warm-up step {step}: loss {loss.item():.3f}, sampled accuracy {reached:.3f}")
            if reached >= recipe.stop_accuracy:
                return step
    raise RuntimeError(
        f"warm-up for {task.name!r} did not reach {recipe.stop_accuracy} in {recipe.max_steps} steps"
    )


@torch.no_grad()
def accuracy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: list[dict[str, str]], *, sample: bool
) -> float:
    """Share of prompts answered exactly, one response each, at temperature 1 or greedily.

    `prompts` are rows of one task, hence of one length. Sampling draws from the global generator.
    """
    inputs = tokenizer([row["input"] for row in prompts], return_tensors="pt").to(model.device)
    longest = max(len(row["label"]) for row in prompts) + 1
    settings: dict[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0} if sample else {}
    tokens = model.generate(**inputs, do_sample=sample, max_new_tokens=longest, **settings)
    responses = tokenizer.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return sum(r == row["label"] for r, row in zip(responses, prompts, strict=True)) / len(prompts)


def held_out_accuracy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, task: Task
) -> dict[str, float]:
    """Accuracy on the held-out rows, `sampled` at temperature 1 and `greedy`."""
    held_out = rows(task.name, "test")
    return {
        "sampled": accuracy(model, tokenizer, held_out, sample=True),
        "greedy": accuracy(model, tokenizer, held_out, sample=False),
    }


def _answer_loss(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, batch: list[dict[str, str]]
) -> torch.Tensor:
    """Cross-entropy of label and end token given the prompt, mean over tokens."""
    texts = [row["input"] + row["label"] + tokenizer.eos_token for row in batch]
    token_ids = tokenizer(texts, return_tensors="pt")["input_ids"].to(model.device)
    answer = len(batch[0]["label"]) + 1
    logits = model(token_ids[:, :-1], logits_to_keep=answer).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), token_ids[:, -answer:].flatten())
