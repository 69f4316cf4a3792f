"""A row's input to the text that is tokenized: input template, system prompt, chat template."""

from collections.abc import Sequence
from typing import Any

from engine.config.sections import DataSection
from engine.data.validate import capped, no_chat_template
from engine.findings import Finding, FindingsError, Fix

PLACEHOLDER = "{input}"

Message = dict[str, Any]


def check_settings(data: DataSection) -> list[Finding]:
    """What is wrong with the template settings by themselves."""
    template = data.input_template
    if template is None or PLACEHOLDER in template:
        return []
    cause = f"input_template has no {PLACEHOLDER}: every prompt would be {template!r:.80}."
    fix = Fix(f"put {PLACEHOLDER} where the text of column {data.input_key!r} goes")
    return [Finding("data.template-placeholder", "error", cause, fixes=(fix,), param="data.input_template")]


def check_tokenizer(data: DataSection, tokenizer: Any) -> list[Finding]:
    """Whether the tokenizer has the chat template that is asked for."""
    if not data.apply_chat_template or tokenizer.chat_template:
        return []
    return [no_chat_template(tokenizer.name_or_path)]


def render(inputs: Sequence[Any], data: DataSection, tokenizer: Any) -> list[str]:
    """The prompt text of every input, in order. Raises `FindingsError` naming the rows that have none."""
    texts: list[str] = []
    problems: list[str] = []
    for row, value in enumerate(inputs, 1):
        problem = _problem(value, data)
        if not problem:
            try:
                texts.append(_render_one(value, data, tokenizer))
            except Exception as error:  # Jinja errors, and whatever a template raises of its own
                problem = f"the chat template refuses it: {error}"
        if problem:
            problems.append(f"row {row}: {problem}")
    if problems:
        cause = f"{len(problems)} of {len(inputs)} rows of column {data.input_key!r} cannot be made prompts."
        fixes = [Fix("correct these rows, or the column")]
        if data.system_prompt:
            fixes.append(Fix("some chat templates know no system message: leave system_prompt out"))
        raise FindingsError(
            [Finding("data.bad-prompt", "error", cause, capped(problems), tuple(fixes), "data.input_key")]
        )
    return texts


def _render_one(value: str | list[Message], data: DataSection, tokenizer: Any) -> str:
    if isinstance(value, str) and data.input_template:
        value = data.input_template.replace(PLACEHOLDER, value)
    if data.apply_chat_template:
        messages = [{"role": "user", "content": value}] if isinstance(value, str) else value
        if data.system_prompt:
            rest = [message for message in messages if message["role"] != "system"]
            messages = [{"role": "system", "content": data.system_prompt}, *rest]
        text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return text
    return f"{data.system_prompt}\n\n{value}" if data.system_prompt else str(value)


def _problem(value: Any, data: DataSection) -> str:
    if isinstance(value, str):
        return "" if value.strip() else "it is empty"
    if not isinstance(value, list) or not value:
        return f"neither text nor a list of messages: {value!r:.60}"
    if not all(isinstance(m, dict) and isinstance(m.get("content"), str) and m.get("role") for m in value):
        return f"each message needs a role and a text content: {value!r:.60}"
    if not data.apply_chat_template:
        return "a list of messages needs apply_chat_template"
    if data.input_template:
        return "input_template needs text, and this is a list of messages"
    if value[-1]["role"] == "assistant":
        return "the last message is the assistant's: the prompt would hold its own answer"
    return ""
