"""From a source to prompts: rendering, tokens, lengths, several sources, on real and made data."""

import csv
import json
import logging
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from engine.config.sections import DataSection
from engine.data.prompts import PromptSet, load_prompts
from engine.findings import Finding, FindingsError
from engine.toy.tasks import TASKS
from engine.toy.tasks import rows as toy_rows

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
GSM8K = DataSection(input_key="question", label_key="answer")


def make_tokenizer(
    chat_template: str | None = TEMPLATE, adds: str = "<s> $A </s>"
) -> PreTrainedTokenizerFast:
    """Byte-level, and it adds `adds` around a text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=adds, special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.chat_template = chat_template
    return fast


TOKENIZER = make_tokenizer()


def load(spec: str | Path, data: DataSection, tokenizer: Any = TOKENIZER, **more: Any) -> PromptSet:
    settings: dict[str, Any] = {"split": "train", "prompt_max_len": 10_000, "limit": None, "seed": 1, **more}
    data = data.model_copy(update={"prompt_data": str(spec)})
    return load_prompts(str(spec), data=data, tokenizer=tokenizer, **settings)


def finding_of(*args: Any, **more: Any) -> Finding:
    with pytest.raises(FindingsError) as caught:
        load(*args, **more)
    assert caught.value.exit_code == 2
    [finding] = caught.value.findings
    assert finding.fixes
    return finding


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows(n: int, name: str = "q") -> list[dict[str, Any]]:
    return [{"input": f"{name}{i}", "label": i} for i in range(n)]


def texts_of_one(tmp_path: Path, value: Any, tokenizer: Any = TOKENIZER, **settings: Any) -> tuple[str, str]:
    """The text of one prompt, and what its tokens decode to."""
    path = jsonl(tmp_path / "one.jsonl", [{"input": value, "label": 1}])
    [prompt] = load(path, DataSection(**settings), tokenizer)
    return prompt.text, tokenizer.decode(list(prompt.token_ids))


def test_real_gsm8k(shared: Path) -> None:
    data = GSM8K.model_copy(update={"apply_chat_template": True, "system_prompt": "Think."})
    prompts = load(shared / "data/gsm8k/train.jsonl", data)
    assert len(prompts) == 7473
    assert [p.index for p in prompts] == list(range(7473))
    first = prompts[0]
    assert first.text.startswith("<s><system>Think.\n<user>Natalia sold clips to 48 of her friends")
    assert first.text.endswith("in April and May?\n<assistant>")
    assert first.label.endswith("#### 72")
    assert first.token_ids[0] == 0
    assert first.token_ids.count(0) == 1
    assert 1 not in first.token_ids
    assert TOKENIZER.decode(first.token_ids) == first.text


def test_a_folder_has_splits_and_one_is_never_taken_for_another(shared: Path) -> None:
    folder = shared / "data/gsm8k"
    assert len(load(folder, GSM8K, split="test")) == 1319
    assert len(load(folder, GSM8K, split="train")) == 7473
    finding = finding_of(folder, GSM8K, split="validation")
    assert finding.id == "data.unknown-split"
    assert "it has: train, test" in finding.cause


def test_the_same_rows_from_every_format(tmp_path: Path) -> None:
    made: list[dict[str, Any]] = [{"input": f"q{i}, \n€", "label": f"00{i}", "extra": 1.5} for i in range(5)]
    (tmp_path / "a.json").write_text(json.dumps(made), encoding="utf-8")
    jsonl(tmp_path / "a.jsonl", made)
    pq.write_table(pa.Table.from_pylist(made), tmp_path / "a.parquet")
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(made[0]))
        writer.writeheader()
        writer.writerows(made)
    want = load(tmp_path / "a.jsonl", DataSection())
    assert [p.label for p in want] == ["000", "001", "002", "003", "004"]
    for name in ("a.json", "a.parquet", "a.csv"):
        assert load(tmp_path / name, DataSection()) == want, name


def test_labels_keep_their_types(tmp_path: Path) -> None:
    labels: list[Any] = ["2024-01-31", 7, 7.5, [1, "x"], {"a": 1}, True, "007"]
    path = jsonl(tmp_path / "x.jsonl", [{"input": "q", "label": v, "ref": v} for v in labels])
    prompts = load(path, DataSection(reference_key="ref"))
    assert [p.label for p in prompts] == labels
    assert [p.reference for p in prompts] == labels
    assert load(path, DataSection())[0].reference is None


@pytest.mark.parametrize(
    ("value", "settings", "text"),
    [
        ("hi", {}, "hi"),
        ("hi", {"system_prompt": "Be brief."}, "Be brief.\n\nhi"),
        ("a{b}", {"input_template": "\\boxed{} {input}!{input}"}, "\\boxed{} a{b}!a{b}"),
        ("hi", {"input_template": "Q: {input}\nA:", "system_prompt": "S"}, "S\n\nQ: hi\nA:"),
        ("hi", {"apply_chat_template": True}, "<s><user>hi\n<assistant>"),
        (
            "hi",
            {"apply_chat_template": True, "system_prompt": "S", "input_template": "Q {input}"},
            "<s><system>S\n<user>Q hi\n<assistant>",
        ),
        (
            [{"role": "system", "content": "old"}, {"role": "user", "content": "hi"}],
            {"apply_chat_template": True},
            "<s><system>old\n<user>hi\n<assistant>",
        ),
        (
            [{"role": "system", "content": "old"}, {"role": "user", "content": "hi"}],
            {"apply_chat_template": True, "system_prompt": "S"},
            "<s><system>S\n<user>hi\n<assistant>",
        ),
    ],
)
def test_rendering(tmp_path: Path, value: Any, settings: dict[str, Any], text: str) -> None:
    rendered, decoded = texts_of_one(tmp_path, value, **settings)
    assert rendered == text
    assert decoded == (text if settings.get("apply_chat_template") else f"<s>{text}")


@pytest.mark.parametrize(
    ("adds", "value", "decoded"),
    [
        ("<s> $A", "hi", "<s>hi"),
        ("<s> $A", "<s>hi", "<s>hi"),
        ("<s> $A </s>", "hi", "<s>hi"),
        ("$A </s>", "hi", "hi"),
        ("$A", "hi", "hi"),
        ("$A", "hi</s>", "hi</s>"),
    ],
)
def test_special_tokens_once_and_no_end_token(tmp_path: Path, adds: str, value: str, decoded: str) -> None:
    assert texts_of_one(tmp_path, value, make_tokenizer(adds=adds))[1] == decoded


def test_too_long_prompts_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = jsonl(tmp_path / "x.jsonl", [{"input": "x" * n, "label": n} for n in (9, 3, 30, 4)])
    with caplog.at_level(logging.INFO):
        prompts = load(path, DataSection(), prompt_max_len=6)
    assert [(p.index, p.label) for p in prompts] == [(0, 3), (1, 4)]
    assert prompts.left_out == 2
    assert "2 of 4 prompts" in caplog.text
    assert load(path, DataSection(), prompt_max_len=31).left_out == 0


def test_all_too_long_names_a_length_that_works(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", [{"input": "x" * n, "label": n} for n in (9, 30)])
    finding = finding_of(path, DataSection(), prompt_max_len=6)
    assert finding.id == "data.all-too-long"
    assert "the shortest has 10 tokens, the longest 31" in finding.cause
    assert finding.fixes[0].set == {"rollout.prompt_max_len": 31}
    assert len(load(path, DataSection(), prompt_max_len=31)) == 2


def test_limit(tmp_path: Path) -> None:
    a, b = jsonl(tmp_path / "a.jsonl", rows(60, "a")), jsonl(tmp_path / "b.jsonl", rows(30, "b"))
    assert [p.text for p in load(f"{a},{b}", DataSection())] == [f"a{i}" for i in range(60)] + [
        f"b{i}" for i in range(30)
    ]
    limited = load(f"{a},{b}", DataSection(), limit=9)
    assert Counter(p.text[0] for p in limited) == {"a": 6, "b": 3}
    assert len(load(a, DataSection(), limit=1000)) == 60


def test_sources_mixed_by_shares(tmp_path: Path) -> None:
    a, b = jsonl(tmp_path / "a.jsonl", rows(400, "a")), jsonl(tmp_path / "b.jsonl", rows(100, "b"))
    data = DataSection(prompt_data_probs=(0.25, 0.75))
    mixed = [p.text for p in load(f"{a},{b}", data)]
    assert {f"a{i}" for i in range(400)} | {f"b{i}" for i in range(100)} == set(mixed)
    assert 0.7 < sum(text[0] == "b" for text in mixed) / len(mixed) < 0.8
    assert [p.text for p in load(f"{a},{b}", data)] == mixed
    assert [p.text for p in load(f"{a},{b}", data, seed=2)] != mixed
    assert [p.text for p in load(f"{a},{b}", data, limit=10)] == mixed[:10]


@pytest.mark.parametrize("probs", [(1.0,), (0.5, 0.6), (1.0, 0.0), (0.2, 0.3, 0.5)])
def test_wrong_shares(tmp_path: Path, probs: tuple[float, ...]) -> None:
    a, b = jsonl(tmp_path / "a.jsonl", rows(4)), jsonl(tmp_path / "b.jsonl", rows(4))
    assert finding_of(f"{a},{b}", DataSection(prompt_data_probs=probs)).id == "data.source-shares"


def test_template_mistakes(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", rows(2))
    finding = finding_of(path, DataSection(input_template="Q: {question}"))
    assert (finding.id, finding.param) == ("data.template-placeholder", "data.input_template")
    finding = finding_of(path, DataSection(apply_chat_template=True), make_tokenizer(None))
    assert (finding.id, finding.fixes[0].set) == (
        "data.no-chat-template",
        {"data.apply_chat_template": False},
    )
    refuses = make_tokenizer("{{ raise_exception('System role not supported') }}")
    finding = finding_of(path, DataSection(apply_chat_template=True, system_prompt="S"), refuses)
    assert finding.id == "data.bad-prompt"
    assert "row 1: the chat template refuses it: System role not supported" in finding.evidence


@pytest.mark.parametrize(
    ("value", "settings", "said"),
    [
        ([{"role": "user", "content": "q"}], {}, "needs apply_chat_template"),
        ([{"role": "user"}], {"apply_chat_template": True}, "needs a role and a text content"),
        ([{"content": "q"}], {"apply_chat_template": True}, "needs a role and a text content"),
        (["q"], {"apply_chat_template": True}, "needs a role and a text content"),
        (
            [{"role": "user", "content": "q"}],
            {"apply_chat_template": True, "input_template": "{input}"},
            "input_template needs text",
        ),
        (
            [{"role": "user", "content": "q"}, {"role": "assistant", "content": "72"}],
            {"apply_chat_template": True},
            "its own answer",
        ),
    ],
)
def test_inputs_that_cannot_be_prompts(
    tmp_path: Path, value: Any, settings: dict[str, Any], said: str
) -> None:
    path = jsonl(tmp_path / "x.jsonl", [{"input": value, "label": 1}])
    finding = finding_of(path, DataSection(**settings))
    assert finding.id == "data.bad-prompt"
    assert said in finding.evidence[0]


def test_parquet_values_are_checked_too(tmp_path: Path) -> None:
    pq.write_table(pa.table({"input": ["q", None, "q"], "label": ["1", "2", None]}), tmp_path / "x.parquet")
    assert finding_of(tmp_path / "x.parquet", DataSection()).evidence == (
        "row 2: no value in column 'input'",
        "row 3: no value in column 'label'",
    )


def test_all_problems_at_once(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", [{"q": "q"}])
    with pytest.raises(FindingsError) as caught:
        load(path, DataSection(input_template="x", apply_chat_template=True), make_tokenizer(None))
    assert [f.id for f in caught.value.findings] == [
        "data.missing-column",
        "data.missing-column",
        "data.template-placeholder",
        "data.no-chat-template",
    ]


def test_no_source() -> None:
    assert finding_of("", DataSection()).id == "data.none"


def test_toy_task() -> None:
    name = next(iter(TASKS))
    train, test = (load(f"toy:{name}", DataSection(), split=split) for split in ("train", "test"))
    assert [{"input": p.text, "label": p.label} for p in train] == toy_rows(name, "train")
    assert not {p.text for p in train} & {p.text for p in test}
    assert finding_of(f"toy:{name}", DataSection(), split="valid").id == "data.unknown-split"


def test_a_hub_id_without_network_is_a_finding() -> None:
    code = (
        "from engine.data.prompts import load_prompts; from engine.config.sections import DataSection\n"
        "from types import SimpleNamespace\n"
        "load_prompts('openai/no-such-data:main', data=DataSection(), split='train', limit=None, seed=1,\n"
        "    tokenizer=SimpleNamespace(chat_template=None), prompt_max_len=9)"
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=env)
    assert "FindingsError: error data.load-failed: openai/no-such-data could not be loaded" in out.stderr
